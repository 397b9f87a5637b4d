import { fieldsScript } from "./root-docs-fields.ts";
import { docsScript } from "./root-docs-script.ts";

/** The page of /docs, made in the browser from /openapi.json. @param nonce that its content security policy names */
export function docsPage(nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mamba-edge: endpoints</title>
<style nonce="${nonce}">
:root {
  color-scheme: light dark;
  --back: #f6f4ee; --card: #fffdf8; --ink: #1c1f1a; --soft: #575d54; --line: #dcd8cc; --accent: #0d6b4c; --on-accent: #ffffff;
  font: 1rem/1.5 system-ui, "Open Sans", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #10130f; --card: #191d18; --ink: #e8ece3; --soft: #a3ab9d; --line: #31372f; --accent: #62d3a3; --on-accent: #06251a;
  }
}
* { box-sizing: border-box; }
body { background: var(--back); color: var(--ink); max-width: 56rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.35rem; line-height: 1.2; letter-spacing: -0.01em; }
a { color: var(--accent); }
code, pre, textarea { font: 0.9rem/1.4 ui-monospace, monospace; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.endpoint { background: var(--card); border: 1px solid var(--line); border-radius: 0.55rem; margin-bottom: 0.5rem; padding: 0 0.85rem; }
summary { padding: 0.5rem 0; cursor: pointer; overflow-wrap: anywhere; }
summary code { font-weight: bold; }
.fields { border-top: 1px solid var(--line); }
.fields summary { color: var(--soft); font-size: 0.9rem; }
dl { display: grid; grid-template-columns: minmax(10rem, 17rem) 1fr; margin: 0 0 0.75rem; font-size: 0.9rem; }
dt, dd { margin: 0; padding: 0.35rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
dt { padding-right: 1rem; }
.kind { color: var(--soft); }
@media (max-width: 40rem) {
  dl { display: block; }
  dd { border-top: 0; padding: 0 0 0.5rem; }
}
form { display: grid; gap: 0.5rem; border-top: 1px solid var(--line); padding: 0.75rem 0; }
label { display: grid; gap: 0.2rem; }
input, textarea, button { font-size: 0.95rem; color: inherit; border: 1px solid var(--soft); border-radius: 0.55rem; padding: 0.45rem 0.85rem; }
input, textarea { width: 100%; background: var(--back); }
textarea { min-height: 7rem; resize: vertical; }
button { justify-self: start; min-height: 2.4rem; cursor: pointer; background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 650; }
button:disabled { opacity: 0.5; cursor: default; }
pre { max-height: 24rem; margin: 0; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<p><a href="/">Back to the playground</a></p>
<h1>mamba-edge: endpoints</h1>
<p>Every endpoint of this Worker, with its fields and a request to send. The same for programs: <a href="/openapi.json">openapi.json</a>.</p>
<p><label>API key, where the deployment has any. It stays in this page.
<input id="key" type="password" autocomplete="off"></label></p>
<div id="endpoints"><p role="status">Loading…</p></div>
</main>
<script nonce="${nonce}">
"use strict";
${fieldsScript}
${docsScript}
</script>
</body>
</html>
`;
}
