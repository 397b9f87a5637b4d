import { named } from "./channel.ts";

/** What a value has to be, and how an error says it. */
export interface Kind {
  /** goes on after "topP is "a": it must be". */
  readonly what: string;
  fits(value: unknown): boolean;
}

export const text: Kind = { what: "a text", fits: (value) => typeof value === "string" };
export const number: Kind = { what: "a number", fits: (value) => typeof value === "number" };
export const flag: Kind = { what: "true or false", fits: (value) => typeof value === "boolean" };
export const listener: Kind = { what: "a function", fits: (value) => typeof value === "function" };
export const anything: Kind = { what: "anything", fits: () => true };

export const bytesOfMemory: Kind = {
  what: "a number of bytes above 0",
  fits: (value) => typeof value === "number" && value > 0,
};

export const texts: Kind = {
  what: "a list of texts",
  fits: (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
};

export const numbers: Kind = {
  what: "a list of numbers",
  fits: (value) => Array.isArray(value) && value.every((each) => typeof each === "number"),
};

export const address: Kind = {
  what: "a URL, such as https://host/weights/name",
  fits: (value) => typeof value === "string" || tagOf(value) === "URL",
};

export const record: Kind = { what: "an object", fits: (value) => tagOf(value) === "Object" };

/** By what it does: one of another frame is of another class. */
export const signal: Kind = {
  what: "an AbortSignal, such as the signal of an AbortController",
  fits: (value) => {
    const { aborted, addEventListener } = Object(value) as Partial<AbortSignal>;
    return typeof aborted === "boolean" && typeof addEventListener === "function";
  },
};

export const picture: Kind = {
  what: "a Blob or File of a picture",
  fits: (value) => ["Blob", "File"].includes(tagOf(value)),
};

export const stateBytes: Kind = {
  what: "a Uint8Array, such as save() gives",
  fits: (value) => tagOf(value) === "Uint8Array",
};

export function oneOf(...names: readonly string[]): Kind {
  return {
    what: `one of "${names.join('", "')}"`,
    fits: (value) => typeof value === "string" && names.includes(value),
  };
}

/** @throws Error named ParameterError that says what was seen and what it has to be */
export function check(param: string, value: unknown, { what, fits }: Kind, remedy = ""): void {
  if (!fits(value)) throw wrong(param, value, what + remedy);
}

export function wrong(param: string, value: unknown, what: string): Error {
  const is = value === undefined ? "is missing" : `is ${shown(value)}`;
  return named("ParameterError", `${param} ${is}: it must be ${what}`);
}

const MOST = 60;

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > MOST ? `${value.slice(0, MOST)}…` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value !== "object" || value === null) return String(value);
  const tag = tagOf(value);
  if (tag === "Object") return "an object";
  return /^[AEIO]/.test(tag) ? `an ${tag}` : `a ${tag}`;
}

/** The name of what an object is, whichever frame it comes from: "Blob", "Uint8Array", "Object". */
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}
