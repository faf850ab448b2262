// Dialogs: the browser's own element keeps the focus inside and closes on Escape.

import { button, make } from "./dom.js";
import { RequestError } from "./api.js";

let count = 0;

/** Whether a dialog is open; it then gets all keys. */
export const dialogOpen = () => document.querySelector("dialog[open]") !== null;

/**
 * Open a dialog with a title; `body` is a list of elements. Gives a function that closes it.
 *
 * `closed` is called once it is closed in any way.
 */
export function openDialog(title, body, { wide = false, closed = () => {} } = {}) {
  count += 1;
  const id = `dialog-${count}`;
  const close = button("Close", () => dialog.close(), { class: "plain" });
  const dialog = make(
    "dialog",
    {
      class: wide ? "wide" : "", "aria-labelledby": id,
      on: {
        close: () => {
          dialog.remove();
          closed();
        },
        click: (event) => { if (event.target === dialog) dialog.close(); },
      },
    },
    make("div", { class: "dialog-head" }, make("h2", { id }, title), close),
    make("div", { class: "dialog-body" }, ...body),
  );
  document.body.append(dialog);
  // Closing gives the focus back to where it was. After a press by mouse that must not be the button.
  if (document.activeElement && !document.activeElement.matches(":focus-visible")) document.activeElement.blur();
  dialog.showModal();
  return () => dialog.close();
}

/**
 * Ask a question. Resolves to the value of the button that was pressed, or null if the dialog was closed.
 *
 * @param choices {words: value}; the first is the default and has the focus.
 */
export function ask(title, body, choices) {
  return new Promise((resolve) => {
    let chosen = null;
    const buttons = Object.entries(choices).map(([words, value], index) => button(words, () => {
      chosen = value;
      close();
    }, { class: index ? "" : "main" }));
    const close = openDialog(title, [...body, make("div", { class: "row" }, ...buttons)], { closed: () => resolve(chosen) });
    buttons[0].focus();
  });
}

/** A form with one text and one button; `save` may fail, the reason is shown beside it. */
export function smallForm({ label, value = "", action, save, placeholder = "" }) {
  const input = make("input", { type: "text", value, placeholder, "aria-label": label, autocomplete: "off", maxLength: 200 });
  const error = make("p", { class: "error", role: "alert", hidden: true });
  const form = make("form", { class: "small-form" }, input, make("button", { type: "submit" }, action), error);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(error, () => save(input.value.trim()));
  });
  return { form, input };
}

/** Run something; show its error in an element. */
export async function attempt(element, work) {
  element.hidden = true;
  try {
    await work();
  } catch (error) {
    element.textContent = error instanceof RequestError ? `${error.problem} ${error.hint}` : error.message;
    element.hidden = false;
  }
}
