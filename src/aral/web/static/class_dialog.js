// Add, rename, merge and describe classes. Nothing is deleted: every change is kept with who made it.

import { button, fill, make, speak } from "./dom.js";
import { attempt, openDialog, smallForm } from "./dialogs.js";

/** Ask for the name of a new class. */
export function addClass(state) {
  const close = openDialog("Add a class", [form().form]);
  function form() {
    return smallForm({
      label: "Name of the class", action: "Add", placeholder: "Name",
      save: async (name) => {
        await state.change("/api/classes", { change: "add", name });
        speak(`Class ${name} was added.`);
        close();
      },
    });
  }
}

/** The list of classes; `shownCard` gives the card on screen, which can become an example. */
export function editClasses(state, shownCard) {
  const list = make("div", { class: "class-list" });
  const redraw = () => fill(list, ...state.classes.map((each) => editor(state, each, shownCard, redraw)));
  redraw();
  openDialog("Edit classes", [list, make("p", { class: "quiet" },
    "Answers stay as they were given: after a merge they count for the class that remains, and every change is recorded.")], { wide: true });
}

function editor(state, each, shownCard, redraw) {
  const trouble = make("p", { class: "trouble", role: "alert", hidden: true });
  const change = (body, words) => attempt(trouble, async () => {
    await state.change("/api/classes", body);
    speak(words);
    redraw();
  });
  const rename = smallForm({
    label: `Name of ${each.name}`, value: each.name, action: "Rename",
    save: (name) => change({ change: "rename", class_id: each.id, name }, `${each.name} is now ${name}.`),
  });
  const summary = make("summary", {}, each.name);
  return make("details", { class: "class-editor" }, summary, rename.form,
    guidelineForm(each, shownCard, change), mergeForm(state, each, change), trouble);
}

function guidelineForm(each, shownCard, change) {
  const text = make("textarea", { value: each.guideline, rows: 3, "aria-label": `Guideline for ${each.name}`,
    placeholder: "When does an image belong to this class?", maxLength: 5000 });
  const describe = (ids, words) => change(
    { change: "describe", class_id: each.id, guideline: text.value, example_ids: ids }, words);
  const ids = each.examples.map((example) => example.image_id);
  const card = shownCard();
  const examples = each.examples.map((example) => make("button", {
    type: "button", class: "example", title: "Remove this example", "aria-label": `Remove an example of ${each.name}`,
    on: { click: () => describe(ids.filter((id) => id !== example.image_id), "The example was removed.") },
  }, make("img", { src: example.thumbnail, alt: "", width: 64, height: 64 })));
  return make("div", { class: "guideline-form" }, text,
    make("div", { class: "examples" }, ...examples),
    make("div", { class: "row" },
      button("Save guideline", () => describe(ids, "The guideline was saved.")),
      card && !ids.includes(card.image_id)
        ? button("Use the image on screen as an example", () => describe([...ids, card.image_id], "The example was added."), { class: "plain" })
        : null));
}

function mergeForm(state, each, change) {
  const others = state.classes.filter((other) => other.id !== each.id);
  if (!others.length) return null;
  const choice = make("select", { "aria-label": `Merge ${each.name} into` },
    ...others.map((other) => make("option", { value: String(other.id) }, other.name)));
  const merge = button(`Merge`, () => {
    const into = state.byId.get(Number(choice.value));
    if (merge.dataset.sure !== String(into.id)) {
      merge.dataset.sure = String(into.id);
      merge.textContent = `Yes, merge into ${into.name}`;
      return;
    }
    change({ change: "merge", class_id: each.id, into_id: into.id }, `${each.name} was merged into ${into.name}.`);
  });
  return make("div", { class: "row" }, make("span", {}, "Merge into"), choice, merge);
}
