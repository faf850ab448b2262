// Which key does what. Pure: an event goes in, the name of an action comes out.

/**
 * What the page can do by key, with the words for it and the keys it has unless they were changed.
 * Keys are named as in `KeyboardEvent.key`, letters in lower case.
 */
export const ACTIONS = {
  "skip": ["Skip: ask again later", " "],
  "unsure": ["Unsure", "u"],
  "bad image": ["Bad image", "x"],
  "none of these": ["None of these", "n"],
  "undo": ["Undo", "Backspace"],
  "accept": ["Accept the suggestion", "Enter"],
  "hide": ["Hide suggestions", "h"],
  "previous": ["Back", "ArrowLeft"],
  "next": ["Forward", "ArrowRight"],
  "zoom": ["Zoom in or out", "z"],
  "grid": ["Grid", "g"],
  "progress": ["Progress", "p"],
  "guide": ["Guidelines", "i"],
  "search": ["Find a class by name", "/"],
  "help": ["This help", "?"],
};

const SHOWN = { " ": "Space", "ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓",
  "Backspace": "⌫", "Enter": "↵", "Escape": "Esc", "Delete": "Del" };

/** A key as people read it on a badge. */
export function shown(key) {
  if (!key) return "";
  return SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}

/** The name of the key of an event. */
export function keyOf(event) {
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

/** The digit printed on a key, for keyboards that write digits only with Shift. */
function digitOf(event) {
  return /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
}

export class KeyMap {
  /**
   * @param classes live classes in order, each with its `key`, or an empty one.
   * @param chosen {action: key} where it differs from the usual one; an empty key switches it off.
   */
  constructor(classes, chosen) {
    this.keys = new Map();
    this.meaning = new Map();
    for (const [action, [, usual]] of Object.entries(ACTIONS)) this.bind({ action }, chosen[action] ?? usual);
    for (const each of classes) this.bind({ action: "class", class_id: each.id }, each.key);
  }

  bind(meaning, name) {
    const key = name.length === 1 ? name.toLowerCase() : name;
    if (!key || this.meaning.has(key)) return;
    this.meaning.set(key, meaning);
    this.keys.set(meaning.action === "class" ? `class:${meaning.class_id}` : meaning.action, key);
  }

  /** The key of an action, empty when it has none. */
  forAction(action) {
    return this.keys.get(action) ?? "";
  }

  /** The key of a class, empty when there are more classes than keys. */
  forClass(id) {
    return this.keys.get(`class:${id}`) ?? "";
  }

  /** What an event asks for, or null: combinations belong to the browser, except the usual one for undo. */
  lookup(event) {
    const key = keyOf(event);
    if (event.ctrlKey || event.metaKey) return key === "z" && !event.altKey ? { action: "undo" } : null;
    if (event.altKey) return null;
    return this.meaning.get(key) ?? this.meaning.get(digitOf(event)) ?? null;
  }
}

const TYPING = new Set(["INPUT", "SELECT", "TEXTAREA"]);
const PRESSED_BY = {
  BUTTON: [" ", "Enter"], SUMMARY: [" ", "Enter"], A: ["Enter"],
  checkbox: [" "], range: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
};

/** Whether a key belongs to the element that has the focus: typing, or pressing a button. */
export function belongsToFocus(event) {
  const target = event.target;
  if (!(target instanceof Element)) return false;
  const own = PRESSED_BY[target.type] ?? PRESSED_BY[target.tagName];
  if (own) return own.includes(keyOf(event));
  return TYPING.has(target.tagName);
}
