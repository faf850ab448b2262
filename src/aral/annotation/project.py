"""A project: one folder with everything that is known of a folder of images, whoever works on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from aral.annotation import answers
from aral.annotation.agreement import AgreementPart
from aral.annotation.annotators import AnnotatorsPart
from aral.annotation.answer_records import Answered, AnswerEvent, AnswerReceipt, Counts, Pace
from aral.annotation.cards import CardDesk
from aral.annotation.classes import ClassesPart
from aral.annotation.database import FILE_NAME, ProjectDatabase
from aral.annotation.estimate import EstimatePart
from aral.annotation.figures import Disagreement, GridCell, GridPage
from aral.annotation.images import ImagesPart
from aral.annotation.keeping import keep_leases
from aral.annotation.label_imports import LabelImports
from aral.annotation.labels import LabelsPart
from aral.annotation.models import ModelsPart
from aral.annotation.opening import Place, place_for, place_of, set_up
from aral.annotation.pace import pace
from aral.annotation.predictions import PredictionsPart
from aral.annotation.queue import QueuePart
from aral.annotation.records import Card, PageSettings
from aral.annotation.review import Review
from aral.annotation.settings import SettingsPart
from aral.annotation.tiles import TileDesk


class Project(
    ImagesPart,
    ClassesPart,
    SettingsPart,
    AnnotatorsPart,
    EstimatePart,
    QueuePart,
    LabelsPart,
    AgreementPart,
    PredictionsPart,
    ModelsPart,
):
    """A folder of images with its classes, answers, queue, models and figures.

    One object serves all threads of a process; each process opens its own. Every method that changes
    something has done so durably when it returns, all of it or nothing.

    Attributes:
        folder: of the project.
        photos: the images as people keep them; never written to.
        label_imports: what was imported, and the way to take it back.
    """

    def __init__(self, place: Place, database: ProjectDatabase) -> None:
        super().__init__(database, place.folder, place.photos)
        self._desk = CardDesk(database, self._predictions)
        self._review = Review(database, self._predictions)
        self._tiles = TileDesk(database, self._predictions, self._review)
        self.label_imports = LabelImports(database, self._predictions)

    @staticmethod
    def create_or_open(
        photos: Path,
        project: Path | None = None,
        class_names: Sequence[str] = (),
        budget: int | None = None,
    ) -> Project:
        """Open the project of a folder of photos, or start it.

        Args:
            photos: the folder.
            project: where the project is kept; None for ``.aral`` inside the photos.
            class_names: classes to add; one that is there, or ever was, is not added again.
            budget: how many labels are to be given; None leaves it as it is.

        Raises:
            BadInput: the folder is missing or may not be written to, a class or the budget is wrong, or the
                project belongs to other photos.
        """
        place = place_for(photos, project)
        database = ProjectDatabase(place.folder / FILE_NAME, create=True)
        try:
            set_up(database, place, class_names, budget)
            return Project(place, database)
        except BaseException:
            database.close()
            raise

    @staticmethod
    def open(folder: Path) -> Project:
        """Open a project that is there.

        Args:
            folder: the folder of photos, or that of the project.

        Raises:
            BadInput: there is no project, or it cannot be used.
        """
        found = place_of(folder)
        database = ProjectDatabase(found / FILE_NAME, create=False)
        try:
            return Project(Place.of_project(found, database), database)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Let go of the project; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Within the block this thread reads everything as it was at one moment, whatever others write.

        Other threads of this process wait with their reading: keep it short, and leave predictions out of it,
        which are kept in memory under a lock of their own.
        """
        with self._database.moment():
            yield

    def changes(self) -> int:
        """A count that grows with every change but leases, for those who look again and again."""
        return self._database.changes()

    # Cards and answers

    def next_cards(
        self, annotator: str, count: int, holding: Sequence[int] = (), tab: str = ""
    ) -> list[Card]:
        """The next images for somebody, leased to them for ten minutes.

        First what this page was given and does not hold, as after a reload; then the estimate slice mixed
        evenly with the newest query, the reserve and images by chance; at last what this person has skipped
        or was unsure of. Empty only when nothing is left that this person may answer.

        Args:
            annotator: the person.
            count: how many cards, up to 200.
            holding: images still on the page; their leases are renewed, and they are not given again.
            tab: name of the browser tab, if there may be several of one person: each gets its own images.

        Raises:
            BadInput: the name is empty, or the count is out of range.
        """
        return self._desk.next_cards(annotator, count, holding, tab)

    def keep_leases(
        self, annotator: str, cards: Sequence[int], tiles: Sequence[int] | None = None, tab: str = ""
    ) -> None:
        """Somebody still has these images before them: put off the end of their leases.

        What ended meanwhile is leased again, unless somebody else was given it. Cheap, and written at most once a
        minute, however often it is called.

        Args:
            annotator: the person.
            cards: images without an answer that are shown as cards, or wait to be.
            tiles: the same of the tab's grid, which holds nothing else from then on; None leaves it as it is.
            tab: name of the browser tab.

        Raises:
            BadInput: the name is empty.
        """
        keep_leases(self._database, self._predictions, annotator, cards, tiles, tab)

    def answer(self, event: AnswerEvent) -> AnswerReceipt:
        """Record an event; see :meth:`answers`."""
        return self.answers([event])[0]

    def answers(self, events: Sequence[AnswerEvent]) -> list[AnswerReceipt]:
        """Record events in one transaction; each key counts once, however often it is sent.

        ``undo`` takes back the newest answer of that person to that image which was not taken back. An
        answer to an exact copy counts for the first of the copies; one with a merged class counts for the
        class it went into.

        Raises:
            BadInput: an event cannot be recorded, so none is: its key is empty or that of another event, its
                image or class is unknown, or there is no answer to take back.
            RunFailed: the disk is full; nothing of it is saved.
        """
        return answers.record(self._database, events, self._predictions.table())

    def standing_under(self, prefix: str) -> tuple[int, int, str] | None:
        """Place, image and person of an answer that stands, among those whose key begins so; None without one."""
        return answers.standing_under(self._database, prefix)

    def undoable(self, annotator: str, count: int = 50) -> list[Answered]:
        """Somebody's answers that were not taken back, the newest first."""
        return answers.undoable(self._database, annotator, count)

    def history(self, annotator: str, before_seq: int | None = None, count: int = 50) -> list[Answered]:
        """Somebody's answers, those taken back as well, the newest first; page on with ``before_seq``."""
        return answers.history(self._database, annotator, before_seq, count)

    def pace(self, annotator: str) -> Pace:
        """How fast somebody labels, and how long the rest of the budget takes at that pace."""
        settings, counts = self.settings(), self.answered_count()
        open_images = self.image_count() - counts.labelled - counts.bad - counts.none
        left = open_images if settings.budget is None else settings.budget - counts.labelled
        return pace(
            self._database,
            annotator,
            max(0, min(left, open_images)),
            self._round_left(settings, counts),
        )

    def _round_left(self, settings: PageSettings, counts: Counts) -> float:
        """How many answers it takes until the newest round's images are answered, with those that measure."""
        queued, measuring = self.queue_left(), int(self.estimate_slice().size)
        share = settings.estimate_share if settings.budget is None else measuring / settings.budget
        among = min(measuring - counts.for_estimate, queued * share / max(1 - share, 0.01))
        return float(queued + among)

    # Looking again

    def predictions_page(self, annotator: str, offset: int = 0, count: int = 64, tab: str = "") -> GridPage:
        """Images by predicted class, the most probable first, without those whose suggestion is held back.

        The order is laid out once for each model; what is answered meanwhile stays in its place. What waits on
        another page is left out, as long as there is anything else; what is shown is leased to this tab, and
        what its grid showed before is not any more.
        """
        return self._tiles.predictions_page(annotator, tab, offset, count)

    def unlabelled_page(self, annotator: str, place: int = 0, count: int = 64, tab: str = "") -> GridPage:
        """Images that are open, in a random order that stays, without the estimate slice; leased as above.

        A place is one in the order of all images, so neither answers nor leases move what comes after it.
        """
        return self._tiles.unlabelled_page(annotator, tab, place, count)

    def tiles(self, annotator: str, image_ids: Sequence[int], tab: str = "") -> list[GridCell]:
        """Those of these images that wait on no other page, as cells of a grid; leased as above."""
        return self._tiles.tiles(annotator, tab, image_ids)

    def cells(self, image_ids: Sequence[int]) -> list[GridCell]:
        """These images as cells of a grid, in this order; unknown ones are left out.

        Suggestions for the estimate slice and for the hidden tenth are held back.
        """
        return self._review.cells(image_ids)

    def disagreements(self, count: int) -> list[Disagreement]:
        """Labels that a model doubts which had not learned from them, the surest doubts first.

        For labels newer than the newest model that is this model; for the others the model of the time when
        they were given. A label somebody gave twice is doubted no more. Labels of the estimate slice are never
        among them: corrected only where the model objects, they would measure it as better than it is.
        """
        models = self.models()
        newest_answer = models[-1].newest_answer if models else 0
        return self._review.disagreements(self.labels(), newest_answer, count)
