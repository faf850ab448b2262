// Lists of buttons with one tab stop: Tab reaches the list once, arrow keys, Home and End move inside it.

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

/** Move inside a list of buttons by arrow keys; call `oneTabStop` whenever its buttons change. */
export function moveByArrows(list) {
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const buttons = [...list.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const target = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : at + (STEPS[event.key] ?? NaN);
    if (at < 0 || Number.isNaN(target)) return;
    event.preventDefault();
    event.stopPropagation();
    const next = buttons[Math.min(buttons.length - 1, Math.max(0, target))];
    oneTabStop(list, next);
    next.focus();
  });
  oneTabStop(list);
}

/** Let Tab reach one button of a list: the given one, the one with the focus, or the first. */
export function oneTabStop(list, given = null) {
  const buttons = [...list.querySelectorAll("button")];
  const stop = given ?? buttons.find((each) => each === document.activeElement) ?? buttons[0];
  for (const each of buttons) each.tabIndex = each === stop ? 0 : -1;
}
