import type { BrowserModel, Session } from "../client/index.ts";
import { Timeline } from "./measurements.ts";
import { keepText, type StoredText } from "./texts.ts";

/** A text with what lives only as long as the page. */
export interface OpenText extends StoredText {
  session?: Session;
  timeline: Timeline;
  length: number;
}

/** @param from a text whose past it has too */
export function freshText(mode: StoredText["mode"], from?: OpenText): OpenText {
  return {
    id: crypto.randomUUID(),
    mode,
    model: from?.model ?? "",
    turns: from?.turns.map((turn) => ({ ...turn })) ?? [],
    changed: Date.now(),
    timeline: new Timeline(),
    length: from?.length ?? 0,
    ...(from?.state && { state: from.state }),
  };
}

export function hasPast({ turns, state }: StoredText): boolean {
  return turns.length > 0 || state !== undefined;
}

export async function keep({ session: _, timeline: __, length: ___, ...stored }: OpenText): Promise<void> {
  await keepText(stored);
}

/** The text's session of a loaded model. @throws Error when all there is of the text is another model's state */
export async function sessionOf(text: OpenText, loaded: BrowserModel): Promise<Session> {
  if (text.session !== undefined) return text.session;
  const session = await loaded.session();
  if (text.state !== undefined && text.model === loaded.info.id) await session.restore(text.state);
  else if (text.turns.length === 0 && text.state !== undefined) {
    throw new Error(`This state is one of ${text.model}: load that package to go on with it.`);
  } else if (text.turns.length > 0) {
    // Another model's state says nothing to this one: it reads the text anew.
    await session.append(text.turns.map((turn) => turn.text).join(""), { maxTokens: 0 }).result;
  }
  text.session = session;
  return session;
}
