/**
 * Script of /docs that lists the fields of a schema. It counts on `element` of root-docs-script.ts.
 *
 * A schema is one of OpenAPI 3.1 as /openapi.json has it; null is what a field that is left out may be too, and is not said.
 */
export const fieldsScript = `
const DEEPEST = 5;

function resolved(schema, schemas) {
  return schema?.$ref ? schemas[schema.$ref.split("/").at(-1)] : (schema ?? {});
}

function variants(schema, schemas) {
  if (schema === undefined) return [];
  const { anyOf, oneOf } = resolved(schema, schemas);
  return (anyOf ?? oneOf ?? [schema]).filter((each) => each.type !== "null");
}

function range(least, most, unit = "") {
  const high = most === Number.MAX_SAFE_INTEGER ? undefined : most;
  if (least === undefined && high === undefined) return "";
  if (high === undefined) return ", " + least + unit + " or more";
  if (least === high) return ", " + high + unit;
  return least === undefined ? ", at most " + high + unit : ", " + least + " to " + high + unit;
}

function length({ minLength, maxLength }) {
  return minLength === 1 && maxLength === undefined ? ", not empty" : range(minLength, maxLength, " characters");
}

// What a field may be, in words.
function kind(schema, schemas) {
  if (schema.type === "null") return "null";
  const choices = variants(schema, schemas);
  if (choices.length !== 1 || choices[0] !== schema) {
    return [...new Set(choices.map((each) => kind(each, schemas)))].join(", or ");
  }
  const { type, enum: values, items, prefixItems, format, ...limits } = resolved(schema, schemas);
  if (values) return values.filter((value) => value !== null).map((value) => JSON.stringify(value)).join(" or ");
  if (limits.const !== undefined) return JSON.stringify(limits.const);
  const [name] = [type].flat().filter((each) => each !== "null");
  if (name === "string") return format === "binary" ? "file" : "text" + length(limits);
  if (name === "boolean") return "true or false";
  if (name === "array") {
    if (limits.maxItems === 0) return "empty list";
    const of = items ?? prefixItems?.[0];
    const many = range(limits.minItems, limits.maxItems).replace(", ", "");
    return "list " + (many && "(" + many + ") ") + "of " + (of && Object.keys(of).length > 0 ? kind(of, schemas) : "anything");
  }
  if (name === "integer" || name === "number") {
    const above = limits.exclusiveMinimum;
    if (above !== undefined) return name + ", above " + above + (limits.maximum === undefined ? "" : ", at most " + limits.maximum);
    return name + range(limits.minimum, limits.maximum);
  }
  return name ?? "anything";
}

// Every field of a schema and of what is in it: by path, such as messages[].content.
function fieldRows(schema, schemas, path = "", depth = 0, rows = new Map()) {
  const choices = variants(schema, schemas);
  // Needed is what every kind of object needs.
  const objects = choices.map((choice) => resolved(choice, schemas)).filter((choice) => choice.properties);
  for (const choice of choices) {
    const { properties = {}, items, prefixItems } = resolved(choice, schemas);
    for (const each of [items, ...(prefixItems ?? [])]) {
      if (each && depth < DEEPEST) fieldRows(each, schemas, path + "[]", depth, rows);
    }
    for (const [name, value] of Object.entries(properties)) {
      const at = path === "" ? name : path + "." + name;
      const found = rows.get(at);
      const row = found ?? { kinds: new Set(), needed: objects.every(({ required = [] }) => required.includes(name)) };
      row.kinds.add(kind(value, schemas));
      row.default = value.default ?? row.default;
      row.description = value.description ?? row.description ?? resolved(value, schemas).description;
      rows.set(at, row);
      if (depth < DEEPEST) fieldRows(value, schemas, at, depth + 1, rows);
    }
  }
  return rows;
}

// Known so that their refusal says why.
function isLeftOut({ kinds }) {
  return [...kinds].every((each) => each === "null" || each === "empty list");
}

function fieldList(title, rows, needed) {
  const list = element("dl", {});
  const last = needed === "needed" ? isLeftOut : () => false;
  const sorted = [...rows].sort(([, a], [, b]) => last(a) - last(b));
  for (const [path, row] of sorted) {
    const name = element("dt", {}, element("code", {}, path));
    const notes = [[...row.kinds].join(", or ")];
    if (row.needed) notes.push(needed);
    if (row.default !== undefined) notes.push("default " + JSON.stringify(row.default));
    const text = element("dd", {}, element("span", { className: "kind" }, notes.join(" · ")));
    if (row.description) text.append(element("br", {}), row.description);
    list.append(name, text);
  }
  return element("details", { className: "fields" }, element("summary", {}, title + " (" + rows.size + ")"), list);
}

function parameterRows(parameters) {
  return new Map(parameters.map(({ name, required, schema, description }) => [
    name,
    { kinds: new Set([kind(schema, {})]), needed: required === true, default: schema.default, description: description ?? schema.description },
  ]));
}

// What is sent and what comes back, folded.
function fieldLists(operation, document) {
  const { schemas } = document.components;
  const lists = [];
  const add = (title, rows, needed = "needed") => {
    if (rows.size > 0) lists.push(fieldList(title, rows, needed));
  };
  for (const [where, title] of [["path", "In the path"], ["query", "In the query"]]) {
    add(title, parameterRows((operation.parameters ?? []).filter((parameter) => parameter.in === where)));
  }
  const content = operation.requestBody?.content ?? {};
  const json = content["application/json"]?.schema;
  // Bodies of several kinds are listed one by one.
  for (const choice of json ? variants(json, schemas) : []) {
    const of = json === choice ? "" : " of " + choice.$ref.split("/").at(-1);
    add("Fields of the body" + of, fieldRows(choice, schemas));
  }
  add("Fields of the form", fieldRows(content["multipart/form-data"]?.schema, schemas));
  const [status, reply] = Object.entries(operation.responses).find(([code]) => code.startsWith("2")) ?? [];
  add("Fields of the reply, " + status, fieldRows(reply?.content?.["application/json"]?.schema, schemas), "always there");
  return lists;
}
`;
