/** Text only ever goes into the page as text. */
export const docsScript = String.raw`
const list = document.querySelector("#endpoints");

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function field(label, control) {
  return element("label", {}, label, control);
}

// What a first request has no use for, or only one of.
const NOT_SHOWN = ["logit_bias", "response_format", "grammar"];

// A body of the fields that have examples, or must be there.
function example(schema, document) {
  // Of several kinds the first: that of text.
  const name = (schema?.anyOf?.[0] ?? schema)?.$ref?.split("/").at(-1);
  const { properties = {}, required = [] } = name ? document.components.schemas[name] : (schema ?? {});
  const given = Object.entries(properties)
    .filter(([key, value]) => (value.example !== undefined && !NOT_SHOWN.includes(key)) || required.includes(key))
    .map(([key, value]) => [key, value.example ?? null]);
  if (name === "InferRequest") {
    return { inputs: [{ name: "tokens", datatype: "INT32", shape: [3], data: [0, 11, 42] }] };
  }
  if (name === "AppendRequest") given.unshift(["text", "Once upon a time"]);
  return Object.fromEntries(given);
}

// The fields of a form: files where bytes are wanted. A field that is left empty is not sent.
function formFields(schema) {
  return Object.entries(schema?.properties ?? {}).map(([name, value]) => {
    const files = (value.items ?? value).format === "binary";
    const input = element("input", files ? { type: "file", multiple: value.type === "array" } : {});
    input.required = schema.required?.includes(name) ?? false;
    return { name, input };
  });
}

function formData(fields) {
  const data = new FormData();
  for (const { name, input } of fields) {
    if (input.type === "file") for (const file of input.files) data.append(name, file);
    else if (input.value !== "") data.append(name, input.value);
  }
  return data;
}

function endpoint(method, path, operation, document) {
  const fields = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, input: element("input", { required: true }) }));
  // A form has the fields of the query too.
  const asked = operation.requestBody?.content?.["multipart/form-data"] ? [] : (operation.parameters ?? [])
    .filter((parameter) => parameter.in === "query").map(({ name }) => ({ name, input: element("input", {}) }));
  const json = operation.requestBody?.content?.["application/json"];
  const upload = json ? [] : formFields(operation.requestBody?.content?.["multipart/form-data"]?.schema);
  const body = json && element("textarea", { value: JSON.stringify(example(json.schema, document), null, 2), spellcheck: false });
  const output = element("pre", { tabIndex: 0, hidden: true });
  output.setAttribute("role", "status");
  const button = element("button", {}, "Send");
  const form = element(
    "form",
    {},
    ...[...fields, ...asked].map(({ name, input }) => field(name, input)),
    ...upload.map(({ name, input }) => field(name, input)),
    ...(body ? [field("Body", body)] : []),
    button,
    output,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.hidden = false;
    output.textContent = "…";
    button.disabled = true;
    const query = asked.filter(({ input }) => input.value !== "").map(({ name, input }) => [name, input.value]);
    const target = fields.reduce((url, f) => url.replace("{" + f.name + "}", encodeURIComponent(f.input.value)), path)
      + (query.length > 0 ? "?" + new URLSearchParams(query) : "");
    const key = apiKey();
    try {
      const response = await fetch(target, {
        method,
        headers: { ...(key && { authorization: "Bearer " + key }), ...(body && { "content-type": "application/json" }) },
        ...(body && { body: body.value }),
        ...(upload.length > 0 && { body: formData(upload) }),
      });
      output.textContent = response.status + " " + response.statusText + "\n\n";
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader?.read(); part && !part.done; part = await reader.read()) output.append(part.value);
    } catch (error) {
      output.textContent = String(error);
    } finally {
      button.disabled = false;
    }
  });
  const title = element("summary", {}, element("code", {}, method + " " + path), " " + (operation.summary ?? ""));
  return element("details", { className: "endpoint" }, title, ...fieldLists(operation, document), form);
}

function apiKey() {
  return document.querySelector("#key").value.trim();
}

async function show() {
  try {
    const description = await (await fetch("/openapi.json")).json();
    const endpoints = Object.entries(description.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => endpoint(method.toUpperCase(), path, operation, description)));
    list.replaceChildren(...endpoints);
  } catch (error) {
    list.replaceChildren(element("p", { role: "alert" }, "/openapi.json could not be read: " + error));
  }
}

show();
`;
