// Which key does what: from a keyboard event to a command, {action, class_id}.

/**
 * The actions with their descriptions and default keys.
 * Keys are named as in `KeyboardEvent.key`, letters in lower case.
 */
export const ACTIONS = {
  "skip": ["Skip: show again later", " "],
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

/** A key as it is displayed. */
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
   * @param chosen {action: key} where it differs from the default; an empty key switches it off.
   */
  constructor(classes, chosen) {
    this.keys = new Map();
    this.commands = new Map();
    for (const [action, [, preset]] of Object.entries(ACTIONS)) this.bind({ action }, chosen[action] ?? preset);
    for (const each of classes) this.bind({ action: "class", class_id: each.id }, each.key);
  }

  bind(command, name) {
    const key = name.length === 1 ? name.toLowerCase() : name;
    if (!key || this.commands.has(key)) return;
    this.commands.set(key, command);
    this.keys.set(command.action === "class" ? `class:${command.class_id}` : command.action, key);
  }

  /** The key of an action, empty when it has none. */
  forAction(action) {
    return this.keys.get(action) ?? "";
  }

  /** The key of a class, empty when there are more classes than keys. */
  forClass(id) {
    return this.keys.get(`class:${id}`) ?? "";
  }

  /** The command of an event, or null: key combinations belong to the browser, except Ctrl Z. */
  lookup(event) {
    const key = keyOf(event);
    if (event.ctrlKey || event.metaKey) return key === "z" && !event.altKey ? { action: "undo" } : null;
    if (event.altKey) return null;
    return this.commands.get(key) ?? this.commands.get(digitOf(event)) ?? null;
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
