import type { BackendName, BrowserModel, Generation } from "../client/index.ts";
import { access, inWords, onKey } from "./access.ts";
import { byId, download } from "./dom.ts";
import { follow } from "./follow.ts";
import { bytes, drawPlots, seconds, Timeline } from "./measurements.ts";
import { modelPanel } from "./model-panel.ts";
import { freshText, hasPast, keep, type OpenText, sessionOf } from "./open-text.ts";
import { drawPaper, drawShelf, extendPaper } from "./paper.ts";
import { generateOptions, watchSettings } from "./settings.ts";
import { type StoredText, storedTexts } from "./texts.ts";

type Mode = StoredText["mode"];

const OTHER_SIDE = { webgpu: "rest", wasm: "rest", rest: "auto" } as const;

export async function playground(): Promise<{ setMode(mode: Mode): void }> {
  const button = (id: string): HTMLButtonElement => byId<HTMLButtonElement>(id);
  const words = byId<HTMLTextAreaElement>("words");
  const texts: OpenText[] = (await storedTexts()).map((text) => ({ ...text, timeline: new Timeline(), length: 0 }));
  let mode: Mode = "write";
  let model: BrowserModel | undefined;
  let running: AbortController | undefined;
  let busy = false;
  let current = latest();

  const panel = await modelPanel(() => act("Loading…", () => load()));
  button("stop").addEventListener("click", () => running?.abort());
  button("new").addEventListener("click", () => openQuietly(fresh()));
  button("fork").addEventListener("click", () => act("Forking…", fork));
  button("save").addEventListener("click", () => act("Saving…", save));
  const file = byId<HTMLInputElement>("file");
  button("open").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    if (chosen !== undefined) void act("Opening…", () => openState(chosen));
    file.value = "";
  });
  button("hand").addEventListener("click", () => act("Handing over…", handOver));
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!button("go").disabled) void act("", write);
  });
  words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey || (mode === "chat" && !event.shiftKey))) {
      event.preventDefault();
      byId<HTMLFormElement>("composer").requestSubmit();
    }
  });
  watchSettings();
  onKey(() => void model?.setApiKey(access().apiKey));
  draw();

  function latest(): OpenText {
    return texts.filter((text) => text.mode === mode).at(-1) ?? fresh();
  }

  function fresh(from?: OpenText): OpenText {
    const text = freshText(mode, from);
    texts.push(text);
    return text;
  }

  /** What was said and measured of another text goes. */
  function openQuietly(text: OpenText): void {
    if (!busy) say("");
    open(text);
    words.focus();
  }

  function open(text: OpenText): void {
    if (text !== current) for (const id of ["rate", "first"]) byId(id).textContent = "";
    current = text;
    draw();
  }

  function say(text: string, failed = false): void {
    byId("status").textContent = text;
    byId("status").classList.toggle("failed", failed);
  }

  /** Runs one thing at a time, and shows what goes wrong with it. */
  async function act(doing: string, work: () => Promise<string>): Promise<void> {
    if (busy) return;
    busy = true;
    say(doing);
    draw();
    try {
      say(await work());
    } catch (error) {
      say(inWords(error as Error), true);
    } finally {
      busy = false;
      running = undefined;
      draw();
    }
  }

  async function load(backend?: BackendName | "auto"): Promise<string> {
    const next = await panel.load(backend as BackendName | undefined);
    const before = model;
    // Typed while it was loaded.
    await next.setApiKey(access().apiKey);
    model = next;
    model.onBackendChange(() => {
      if (model !== undefined) panel.show(model);
    });
    // Their states were kept after each turn; the new model restores them when they are gone on with.
    for (const text of texts) delete text.session;
    panel.show(next);
    await before?.dispose();
    return "Ready.";
  }

  async function write(): Promise<string> {
    const text = current;
    const typed = mode === "chat" ? words.value.trim() : words.value;
    if (typed === "" && (mode === "chat" || !hasPast(text))) return "Write a few words first.";
    const settings = generateOptions();
    if (model === undefined) await load();
    const loaded = model!;
    running = new AbortController();
    const options = { ...settings, signal: running.signal };
    let generation: Generation;
    if (mode === "write") {
      const session = await sessionOf(text, loaded);
      generation = session.append(typed, options);
    } else {
      const past = text.turns.map(
        ({ given, text: content }) => ({ role: given ? "user" : "assistant", content }) as const,
      );
      generation = loaded.chat([...past, { role: "user", content: typed }], options);
    }
    const before = { turns: text.turns.length, length: text.length };
    if (typed !== "") text.turns.push({ given: true, text: typed });
    words.value = "";
    text.turns.push({ given: false, text: "" });
    draw();
    // The model's state is as it was, so the paper is too, and the words can be given again.
    const takeBack = (): void => {
      text.turns.length = before.turns;
      text.length = before.length;
      text.timeline.drop();
      words.value = typed + words.value;
    };
    const shown = {
      piece: (piece: string): void => {
        if (text === current) extendPaper(piece);
      },
      figures: (): void => {
        if (text === current) drawFigures();
      },
    };
    const result = await follow(generation, text, shown).catch((error: unknown) => {
      takeBack();
      throw error;
    });
    if (result.finishReason === "cancelled" && result.completionTokens === 0) {
      takeBack();
      return "Stopped before the first token.";
    }
    text.model = loaded.info.id;
    text.changed = Date.now();
    if (text.session !== undefined) text.state = await text.session.save();
    await keep(text);
    const { completionTokens, totalMs, cachedTokens, finishReason } = result;
    const reused = cachedTokens > 0 ? `, ${cachedTokens} tokens came from the state` : "";
    const ended = finishReason === "cancelled" ? "Stopped after" : "Wrote";
    return `${ended} ${completionTokens} tokens in ${seconds(totalMs)}${reused}.`;
  }

  async function fork(): Promise<string> {
    const from = current;
    const copy = fresh(from);
    if (from.session !== undefined) copy.session = await from.session.fork();
    await keep(copy);
    open(copy);
    words.focus();
    return "A second text with the same past. Neither changes the other.";
  }

  async function save(): Promise<string> {
    const { id, state, turns } = current;
    const content = state ?? new TextEncoder().encode(turns.map((turn) => turn.text).join("\n\n"));
    download(`${id.slice(0, 8)}.${state === undefined ? "txt" : "state"}`, content);
    return `Saved ${bytes(content.byteLength)}. The text itself stays in this browser too.`;
  }

  /** A state that was saved here or elsewhere: what the model remembers of a text, without the text. */
  async function openState(file: File): Promise<string> {
    if (model === undefined) await load();
    const loaded = model!;
    const state = new Uint8Array(await file.arrayBuffer());
    const session = await loaded.session();
    try {
      await session.restore(state);
    } catch (error) {
      await session.dispose();
      throw error;
    }
    const text = Object.assign(fresh(), { session, state, model: loaded.info.id, length: session.tokens });
    await keep(text);
    open(text);
    words.focus();
    return `Opened a state of ${session.tokens} tokens. It goes on from there.`;
  }

  async function handOver(): Promise<string> {
    if (model === undefined) return "Load a model first.";
    const text = current;
    const session = mode === "write" && hasPast(text) ? await sessionOf(text, model) : undefined;
    const id = await session?.push();
    await load(OTHER_SIDE[model.backend]);
    const where = model.backend === "rest" ? "at the edge" : "in this browser";
    if (id === undefined) return `The conversation goes on ${where}.`;
    text.session = await model.session();
    await text.session.pull(id);
    return `The state went over as ${id}: ${text.session.tokens} tokens, none computed again. It goes on ${where}.`;
  }

  function draw(): void {
    const generating = busy && running !== undefined;
    const has = hasPast(current);
    drawShelf(
      texts.filter((text) => text.mode === mode),
      current,
      (id) => openQuietly(texts.find((text) => text.id === id)!),
    );
    drawPaper(current);
    button("go").disabled = busy || panel.chosen === undefined;
    const go = mode === "chat" ? "Send" : "Write on";
    button("go").textContent = model === undefined ? `Load and ${go.toLowerCase()}` : go;
    button("stop").disabled = !generating;
    button("new").disabled = busy;
    button("open").disabled = busy || panel.chosen === undefined;
    button("open").hidden = mode === "chat";
    for (const id of ["fork", "save"]) button(id).disabled = busy || !has;
    button("hand").disabled = busy || model === undefined;
    button("hand").textContent = model?.backend === "rest" ? "Bring to this browser" : "Hand to the edge";
    byId("words-label").textContent =
      mode === "chat" ? "Your message" : has ? "More of your words, or none" : "Your words";
    drawFigures();
  }

  function drawFigures(): void {
    byId("length").textContent = current.length > 0 ? current.length.toLocaleString("en") : "";
    for (const id of ["figures", "memory"]) byId(id).hidden = model === undefined;
    if (model === undefined) return;
    byId("state").textContent = bytes(model.info.stateBytes);
    drawPlots(model.info, current.length, current.timeline);
  }

  return {
    setMode(next) {
      if (mode === next) return;
      mode = next;
      if (!busy) say("");
      open(latest());
    },
  };
}
