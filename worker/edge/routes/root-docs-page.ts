/** The page of /docs, made in the browser from /openapi.json. @param nonce that its content security policy names */
export function docsPage(nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mamba-edge: endpoints</title>
<style nonce="${nonce}">
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { background: Canvas; color: CanvasText; max-width: 52rem; margin: 0 auto; padding: 1rem; }
code, pre, textarea { font: 0.9rem/1.4 ui-monospace, monospace; }
details { border-top: 1px solid GrayText; }
summary { padding: 0.5rem 0; cursor: pointer; }
summary code { font-weight: bold; }
form { display: grid; gap: 0.5rem; padding-bottom: 1rem; }
label { display: grid; }
input, textarea { padding: 0.4rem; }
textarea { min-height: 7rem; }
button { justify-self: start; padding: 0.4rem 1rem; }
pre { max-height: 24rem; margin: 0; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<p><a href="/">Back to the playground</a></p>
<h1>mamba-edge: endpoints</h1>
<p>Every endpoint of this Worker. The fields of each body are in <a href="/openapi.json">openapi.json</a>.</p>
<p><label>API key, where the deployment has any. It stays in this page.
<input id="key" type="password" autocomplete="off"></label></p>
<div id="endpoints"><p role="status">Loading…</p></div>
</main>
<script nonce="${nonce}">
"use strict";
${script}
</script>
</body>
</html>
`;
}

/** Text only ever goes into the page as text. */
const script = String.raw`
const list = document.querySelector("#endpoints");

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function field(label, control) {
  return element("label", {}, label, control);
}

// A body of the fields that have examples, or must be there.
function example(schema, document) {
  // Of several kinds the first: that of text.
  const name = (schema?.anyOf?.[0] ?? schema)?.$ref?.split("/").at(-1);
  const { properties = {}, required = [] } = name ? document.components.schemas[name] : (schema ?? {});
  const given = Object.entries(properties)
    .filter(([key, value]) => (value.example !== undefined && key !== "logit_bias") || required.includes(key))
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
  const json = operation.requestBody?.content?.["application/json"];
  const upload = json ? [] : formFields(operation.requestBody?.content?.["multipart/form-data"]?.schema);
  const body = json && element("textarea", { value: JSON.stringify(example(json.schema, document), null, 2), spellcheck: false });
  const output = element("pre", { tabIndex: 0, hidden: true });
  output.setAttribute("role", "status");
  const button = element("button", {}, "Send");
  const form = element(
    "form",
    {},
    ...fields.map(({ name, input }) => field(name, input)),
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
    const target = fields.reduce((url, f) => url.replace("{" + f.name + "}", encodeURIComponent(f.input.value)), path);
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
  return element("details", {}, title, form);
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
