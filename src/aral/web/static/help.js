// The help: every key with what it does at present.

import { make } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { ACTIONS, shown } from "./keys.js";

const ELSEWHERE = [
  ["Wheel, + and −", "Zoom; drag or arrow keys move the image"],
  ["Esc", "Whole image; close a dialog; clear the selection"],
  ["Ctrl Z", "Undo"],
];

const GRID = [
  ["Click, Shift click", "Select one image, or all up to it"],
  ["Arrow keys", "Move; with Shift select on the way"],
  ["Space", "Select or deselect"],
  ["Ctrl A", "Select all"],
  ["A class's key", "Give all selected images this class"],
];

export function openHelp(state) {
  const on = state.settings.shortcuts_on;
  const classes = state.classes.filter((each) => state.keys.forClass(each.id))
    .map((each) => [shown(state.keys.forClass(each.id)), each.name]);
  const actions = Object.entries(ACTIONS).filter(([action]) => state.keys.forAction(action))
    .map(([action, [words]]) => [shown(state.keys.forAction(action)), words]);
  openDialog("Keys", [
    on ? null : make("p", { class: "notice" }, "Single-key shortcuts are switched off in the settings; every button works."),
    make("div", { class: "help-columns" },
      keyTable("One image", [...actions, ...ELSEWHERE]),
      make("div", {}, keyTable("Classes", classes), keyTable("In the grid", GRID))),
    make("p", { class: "quiet" }, "A key that is held down counts once. Every answer is saved at once and can be undone at any time."),
  ].filter(Boolean), { wide: true });
}

function keyTable(title, rows) {
  return make("section", {}, make("h3", {}, title), make("dl", { class: "key-list" },
    ...rows.map(([key, words]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, words)))));
}
