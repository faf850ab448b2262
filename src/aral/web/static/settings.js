// The dialogs for the settings of the project, with its keys, and for the annotator's name.

import { button, make, announce } from "./dom.js";
import { attempt, openDialog, smallForm } from "./dialogs.js";
import { ACTIONS, keyOf, shown } from "./keys.js";

const UNUSABLE = new Set(["Shift", "Control", "Alt", "Meta", "Dead", "CapsLock", "AltGraph"]);

export function openSettings(state) {
  const error = make("p", { class: "error", role: "alert", hidden: true });
  const live = (name) => !name.startsWith("class:") || state.classById.has(Number(name.slice(6)));
  const keys = Object.fromEntries(Object.entries(state.settings.keys).filter(([name]) => live(name)));
  const shortcuts = check("Single-key shortcuts", state.settings.shortcuts_on);
  const suggestions = check("Show the model's suggestions", state.settings.suggestions_on);
  const budget = number("Budget in labels (empty: no limit)", state.settings.budget, 1, 10_000_000);
  const overlap = number("Annotators per image", state.settings.overlap, 1, 20);
  const bits = state.settings.near_duplicate_bits;
  const alike = number("How much near-duplicates may differ, 0 to 8", bits, 0, 8);
  const save = button("Save settings", () => attempt(error, async () => {
    await state.change("/api/settings", {
      keys, shortcuts_on: shortcuts.input.checked, suggestions_on: suggestions.input.checked,
      budget: budget.input.value ? Number(budget.input.value) : null, overlap: Number(overlap.input.value || 1),
      ...(alike.input.value === "" ? {} : { near_duplicate_bits: Number(alike.input.value) }),
    });
    announce("The settings were saved.");
    close();
  }), { class: "main" });
  const close = openDialog("Settings", [
    make("div", { class: "fields" }, shortcuts.field, suggestions.field, budget.field, overlap.field, alike.field),
    make("h3", {}, "Keys"),
    make("p", { class: "quiet" }, "Press a button, then the new key. Delete removes the key, Escape keeps it."),
    keyFields(state, keys),
    error, save,
  ], { wide: true });
}

function check(words, checked) {
  const input = make("input", { type: "checkbox", checked });
  return { input, field: make("label", { class: "check" }, input, words) };
}

function number(words, value, min, max) {
  const input = make("input", { type: "number", min, max, value: value ?? "", inputMode: "numeric" });
  return { input, field: make("label", { class: "field" }, words, input) };
}

/** A button for every action and class; `keys` is changed in place. */
function keyFields(state, keys) {
  const current = new Map([
    ...Object.keys(ACTIONS).map((action) => [action, state.keys.forAction(action)]),
    ...state.classes.map((each) => [`class:${each.id}`, state.keys.forClass(each.id)]),
  ]);
  const words = new Map([
    ...Object.entries(ACTIONS).map(([action, [text]]) => [action, text]),
    ...state.classes.map((each) => [`class:${each.id}`, each.name]),
  ]);
  const buttons = new Map();
  const set = (name, key) => {
    for (const [other, taken] of current) if (key && taken === key && other !== name) set(other, "");
    current.set(name, key);
    keys[name] = key;
    label(buttons.get(name), words.get(name), key);
  };
  const rows = [...current].map(([name, key]) => {
    const press = button("", () => {
      press.textContent = "press a key";
      press.setAttribute("aria-label", `Press the new key for ${words.get(name)}`);
      press.classList.add("waiting");
    }, { class: "key-button" });
    const stop = () => {
      press.classList.remove("waiting");
      label(press, words.get(name), current.get(name));
    };
    press.addEventListener("keydown", (event) => take(event, press, (chosen) => set(name, chosen), stop));
    press.addEventListener("blur", stop);
    label(press, words.get(name), key);
    buttons.set(name, press);
    return make("div", { class: "key-row" }, make("span", {}, words.get(name)), press);
  });
  return make("div", { class: "key-rows" }, ...rows);
}

function label(press, words, key) {
  press.textContent = shown(key) || "none";
  press.setAttribute("aria-label", `Key for ${words}: ${shown(key) || "none"}`);
}

/** A key while a button waits for one: Delete removes the key, Escape and Tab keep it. */
function take(event, press, choose, stop) {
  if (!press.classList.contains("waiting") || event.repeat || event.key === "Tab") return;
  event.preventDefault();
  event.stopPropagation();
  if (UNUSABLE.has(event.key)) return;
  if (event.key !== "Escape") choose(event.key === "Delete" ? "" : keyOf(event));
  stop();
}

/** Ask for the annotator's name. */
export function openAnnotator(state) {
  const close = openDialog("Annotator", [
    make("p", { class: "quiet" }, "Every answer is recorded with this name. There are no accounts: choose a name that no other annotator uses."),
    nameForm(),
    make("div", { class: "row" }, ...state.project.annotators.filter((name) => name !== state.annotator)
      .map((name) => button(name, () => choose(name), { class: "plain" }))),
  ]);
  function nameForm() {
    return smallForm({ label: "Your name", value: state.annotator, action: "Save", save: (name) => choose(name) }).form;
  }
  function choose(name) {
    if (name && name !== state.annotator) state.setAnnotator(name);
    close();
  }
}
