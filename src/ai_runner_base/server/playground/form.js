// Draws a pipeline's parameters and tells of changes. One control per field; every control has a label of its own.

import { fieldsOf } from "./schema.js";

const LAST_GROUP = "Picture";

export class ParamsForm {
  #root;
  #onChange;
  #fields = [];
  #controls = new Map();
  #values = {};
  #defaults = {};

  /**
   * @param {HTMLElement} root
   * @param {(values: object, name: string | null) => void} onChange gets the complete values
   */
  constructor(root, onChange) {
    this.#root = root;
    this.#onChange = onChange;
  }

  get values() {
    return { ...this.#values };
  }

  get defaults() {
    return { ...this.#defaults };
  }

  /** Draw anew for a pipeline. */
  show(schema, defaults, values) {
    this.#fields = fieldsOf(schema, defaults);
    this.#defaults = { ...defaults };
    this.#values = this.#known(values);
    this.#controls.clear();
    this.#root.replaceChildren(...this.#groups());
    this.#refresh();
  }

  /** Take values from elsewhere; unknown names are left out. */
  setValues(values) {
    this.#values = this.#known(values);
    this.#refresh();
    this.#onChange(this.values, null);
  }

  reset() {
    this.setValues({});
  }

  /** Say at a field what is wrong with it; without a name or message, all is well. */
  showErrors(errors) {
    for (const [, control] of this.#controls) control.error.textContent = "";
    for (const { loc, msg } of errors) {
      const control = this.#controls.get(String(loc?.at(-1) ?? ""));
      if (control) control.error.textContent = msg;
    }
  }

  /** Complete values: those of names that the pipeline has, and defaults. */
  #known(values) {
    const known = Object.entries(values).filter(([name]) => name in this.#defaults);
    return { ...this.#defaults, ...Object.fromEntries(known) };
  }

  #groups() {
    const names = [...new Set(this.#fields.map((field) => field.group))];
    names.sort((a, b) => Number(a === LAST_GROUP) - Number(b === LAST_GROUP));
    return names.map((name) => this.#group(name, this.#fields.filter((field) => field.group === name)));
  }

  #group(name, fields) {
    const folded = name === LAST_GROUP;
    const box = element(folded ? "details" : "section", { className: "group" });
    const saidByField = fields.length === 1 && fields[0].label === name;
    if (name && !saidByField) box.append(element(folded ? "summary" : "h3", { textContent: name }));
    box.append(...fields.map((field) => this.#row(field)));
    box.shownWhen = fields[0].shownWhen;
    return box;
  }

  #row(field) {
    const control = makeControl(field, (value) => this.#changed(field, value));
    this.#controls.set(field.name, control);
    return control.row;
  }

  #changed(field, value) {
    this.#values = { ...this.#values, [field.name]: value };
    this.#refresh();
    this.#onChange(this.values, field.name);
  }

  #refresh() {
    for (const [name, control] of this.#controls) {
      control.set(this.#values[name]);
      control.row.classList.toggle("changed", JSON.stringify(this.#values[name]) !== JSON.stringify(this.#defaults[name]));
    }
    for (const box of this.#root.children) {
      box.hidden = Boolean(box.shownWhen) && this.#values[box.shownWhen.field] !== box.shownWhen.value;
    }
  }
}

// --- controls -----------------------------------------------------------------------------------------------------

function element(tag, properties = {}, children = []) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

let count = 0;

function makeControl(field, onChange) {
  const id = `field-${(count += 1)}`;
  const control = MAKERS[field.kind](field, id, onChange);
  const error = element("p", { className: "error" });
  error.setAttribute("role", "alert");
  const label = element("label", { htmlFor: id, textContent: field.label, title: field.name });
  if (!field.live) label.append(element("span", { className: "badge", textContent: "reloads" }));
  const undo = undoButton(field, onChange);
  const head = element("div", { className: "head" }, [label, undo, ...(control.aside ?? [])]);
  const note = element("p", { className: "note", id: `${id}-note`, textContent: field.description });
  control.input.setAttribute("aria-describedby", note.id);
  const row = element("div", { className: `field ${field.kind}` }, [head, ...(control.body ?? []), note, error]);
  row.dataset.name = field.name;
  return { row, error, set: control.set };
}

function undoButton(field, onChange) {
  const title = `Back to the default (${shown(field, field.initial)})`;
  const undo = element("button", { type: "button", className: "undo", textContent: "↺", title });
  undo.setAttribute("aria-label", `${field.label}: ${title.toLowerCase()}`);
  undo.onclick = () => onChange(field.initial);
  return undo;
}

function shown(field, value) {
  if (value === null || value === undefined || value === "") return "nothing";
  return `${value}${field.unit ? ` ${field.unit}` : ""}`;
}

const MAKERS = { range, number, switch: toggle, choice, color, text, longtext, json };

function range(field, id, onChange) {
  const input = element("input", { type: "range", id, min: field.min, max: field.max, step: field.step ?? "any" });
  const box = numberInput(field, onChange);
  box.setAttribute("aria-label", `${field.label}, as a number`);
  const event = field.live ? "input" : "change";
  input.addEventListener(event, () => onChange(exact(input.valueAsNumber, field)));
  const set = (value) => {
    input.value = value;
    const part = (Number(value) - field.min) / (field.max - field.min || 1);
    input.style.setProperty("--part", `${100 * Math.min(1, Math.max(0, part))}%`);
    if (document.activeElement !== box) box.value = value;
  };
  return { input, aside: [withUnit(box, field)], body: [input], set };
}

/** Sliders count in binary fractions: 0.30000000000000004 is 0.3. */
function exact(value, field) {
  return field.integer ? Math.round(value) : Number(value.toPrecision(7));
}

function numberInput(field, onChange) {
  const input = element("input", { type: "number", className: "figure", step: field.step ?? "any" });
  if (field.min !== undefined) input.min = field.min;
  if (field.max !== undefined) input.max = field.max;
  input.addEventListener("change", () => {
    if (input.value === "" && field.nullable) onChange(null);
    else if (input.validity.valid && input.value !== "") onChange(exact(input.valueAsNumber, field));
    else input.reportValidity();
  });
  return input;
}

function withUnit(input, field) {
  if (!field.unit) return input;
  return element("span", { className: "with-unit" }, [input, element("span", { className: "unit", textContent: field.unit })]);
}

function number(field, id, onChange) {
  const input = numberInput(field, onChange);
  input.id = id;
  const set = (value) => {
    if (document.activeElement !== input) input.value = value ?? "";
  };
  return { input, aside: [withUnit(input, field)], set };
}

function toggle(field, id, onChange) {
  const input = element("input", { type: "checkbox", id, className: "switch" });
  input.setAttribute("role", "switch");
  input.addEventListener("change", () => onChange(input.checked));
  return { input, aside: [input], set: (value) => (input.checked = Boolean(value)) };
}

function choice(field, id, onChange) {
  const names = field.choices.map(String);
  if (names.length > 4 || names.join("").length > 26) return select(field, id, onChange);
  const group = element("div", { className: "segments", id });
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", field.label);
  const radios = field.choices.map((value) => {
    const radio = element("input", { type: "radio", name: id, value: String(value) });
    radio.addEventListener("change", () => onChange(value));
    group.append(element("label", {}, [radio, element("span", { textContent: String(value) })]));
    return radio;
  });
  const set = (value) => radios.forEach((radio, i) => (radio.checked = field.choices[i] === value));
  return { input: group, body: [group], set };
}

function select(field, id, onChange) {
  const input = element("select", { id });
  input.append(...field.choices.map((value) => element("option", { textContent: String(value) })));
  input.addEventListener("change", () => onChange(field.choices[input.selectedIndex]));
  return { input, body: [input], set: (value) => (input.selectedIndex = field.choices.indexOf(value)) };
}

function color(field, id, onChange) {
  const input = element("input", { type: "color", id });
  input.addEventListener("input", () => onChange(input.value));
  return { input, aside: [input], set: (value) => (input.value = String(value || "#000000")) };
}

function text(field, id, onChange) {
  const input = element("input", { type: "text", id, spellcheck: false, autocomplete: "off" });
  input.addEventListener("change", () => onChange(input.value));
  const set = (value) => {
    if (document.activeElement !== input) input.value = value ?? "";
  };
  return { input, body: [input], set };
}

const TYPING_PAUSE_MS = 400;

function longtext(field, id, onChange) {
  const input = element("textarea", { id, rows: 3 });
  let timer = 0;
  const tell = () => {
    clearTimeout(timer);
    onChange(input.value);
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    if (field.live) timer = setTimeout(tell, TYPING_PAUSE_MS);
  });
  input.addEventListener("change", tell);
  const set = (value) => {
    if (document.activeElement !== input) input.value = value ?? "";
  };
  return { input, body: [input], set };
}

function json(field, id, onChange) {
  const input = element("textarea", { id, rows: 3, className: "json", spellcheck: false });
  input.addEventListener("change", () => {
    try {
      input.setCustomValidity("");
      onChange(JSON.parse(input.value));
    } catch (error) {
      input.setCustomValidity(`This is not JSON: ${error.message}`);
      input.reportValidity();
    }
  });
  const set = (value) => {
    if (document.activeElement !== input) input.value = JSON.stringify(value ?? null, null, 1);
  };
  return { input, body: [input], set };
}
