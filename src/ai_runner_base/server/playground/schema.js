// A pipeline's JSON schema as a list of fields that a form can draw. Knows no page and no pipeline.

const COLOR = /^#[0-9a-f]{6}$/i;
const LONG_TEXT = 80;
const TEXT_NAMES = /prompt|text|caption|description/i;
/** A slider with more places than this cannot be put where one wants it: a seed gets a box. */
const MOST_PLACES = 10_000;
const PLAIN = { string: "string", integer: "number", number: "number" };
export const SIZE_NAMES = ["width", "height"];

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} description
 * @property {string} group
 * @property {"range" | "number" | "switch" | "choice" | "color" | "text" | "longtext" | "json"} kind
 * @property {unknown} initial the default
 * @property {boolean} live false: a change needs a reload
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {boolean} [integer]
 * @property {string} [unit]
 * @property {unknown[]} [choices]
 * @property {boolean} [nullable]
 * @property {{field: string, value: unknown}} [shownWhen]
 */

/**
 * @param {object} schema of an object, as pydantic writes it
 * @param {object} defaults complete values by name
 * @returns {Field[]}
 */
export function fieldsOf(schema, defaults = {}) {
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    field(name, resolve(property, schema), defaults[name]),
  );
  for (const one of fields) one.shownWhen = shownWhen(one, fields);
  return fields;
}

/**
 * Follows `$ref`, and unpacks the pydantic forms `allOf: [one]` and `anyOf: [one, null]`. Of several kinds of value (a text
 * or a list of them) the form offers that of the default, if it is a plain one.
 */
function resolve(property, schema) {
  let found = property;
  if (found.$ref) {
    const { $ref, ...own } = found;
    const target = $ref.split("/").slice(1).reduce((node, key) => node?.[key], schema) ?? {};
    found = { ...target, ...own };
  }
  if (found.allOf?.length === 1) found = { ...resolve(found.allOf[0], schema), ...found };
  const real = found.anyOf?.filter((option) => option.type !== "null");
  if (real?.length === 1) {
    found = { ...resolve(real[0], schema), ...found, nullable: real.length < found.anyOf.length };
  } else if (real) {
    found = { ...real.find(({ type }) => PLAIN[type] === typeof found.default), ...found };
  }
  return found;
}

function field(name, property, value) {
  const group = property.group ?? "";
  const initial = value !== undefined ? value : property.default;
  const integer = property.type === "integer";
  const min = property.minimum ?? bump(property.exclusiveMinimum, integer, 1);
  const max = property.maximum ?? bump(property.exclusiveMaximum, integer, -1);
  const choices = property.enum ?? (property.const !== undefined ? [property.const] : undefined);
  const one = {
    name,
    label: labelOf(name, property.title, group),
    description: property.description ?? "",
    group,
    initial,
    live: property["x-live"] !== false,
    unit: property.unit,
    nullable: property.nullable ?? false,
    integer,
    min,
    max,
    choices,
    step: property.step ?? property.multipleOf ?? stepOf(integer, min, max),
  };
  return { ...one, kind: kindOf(property, one) };
}

function bump(limit, integer, by) {
  return limit === undefined || !integer ? limit : limit + by;
}

function stepOf(integer, min, max) {
  if (integer) return 1;
  if (min === undefined || max === undefined) return undefined;
  return 10 ** Math.floor(Math.log10((max - min) / 50));
}

function kindOf(property, one) {
  if (one.choices) return "choice";
  switch (property.type) {
    case "boolean":
      return "switch";
    case "number":
    case "integer":
      return fitsSlider(one) ? "range" : "number";
    case "string":
      if (property.format === "color" || COLOR.test(String(one.initial))) return "color";
      return property.maxLength > LONG_TEXT || TEXT_NAMES.test(one.name) ? "longtext" : "text";
    default:
      return "json";
  }
}

function fitsSlider({ name, min, max, step }) {
  return !SIZE_NAMES.includes(name) && min !== undefined && max !== undefined && (max - min) / step <= MOST_PLACES;
}

function labelOf(name, title, group) {
  const words = (title && title.toLowerCase().replaceAll(" ", "_") !== name ? title : name).replaceAll("_", " ").trim();
  const own = words.toLowerCase().startsWith(`${group.toLowerCase()} `) ? words.slice(group.length + 1) : words;
  return own.charAt(0).toUpperCase() + own.slice(1);
}

/** A group named like a choice (group "Neon", effect "neon") belongs to that choice and is shown with it only. */
function shownWhen(one, fields) {
  const wanted = one.group.toLowerCase();
  for (const chooser of fields) {
    const value = chooser.choices?.find((choice) => String(choice).toLowerCase() === wanted);
    if (value !== undefined && chooser !== one) return { field: chooser.name, value };
  }
  return undefined;
}

/** The values that differ from the defaults. */
export function changesOf(values, defaults) {
  const differs = ([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name]);
  return Object.fromEntries(Object.entries(values).filter(differs));
}
