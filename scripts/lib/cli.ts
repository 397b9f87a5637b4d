import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { nearName } from "../../worker/edge/http/near-name.ts";

/** A mistake in how a command was called: the message is printed with a hint at --help, without a stack. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

type Values = Record<string, string | boolean | undefined>;

export interface Command<T extends ParseArgsOptionsConfig> {
  /** what --help prints. */
  readonly help: string;
  readonly options: T;
  /** how many arguments may stand without an option's name. */
  readonly positionals: { readonly min: number; readonly max: number };
  run(positionals: string[], values: Values): Promise<void>;
}

/** Runs a command line: help on --help, errors on stderr, a non-zero exit on failure. */
export async function runCommand<T extends ParseArgsOptionsConfig>(command: Command<T>): Promise<void> {
  try {
    const options = { ...command.options, help: { type: "boolean", short: "h" } } as const;
    const { positionals, values } = parse(options);
    if (values.help === true) {
      process.stdout.write(command.help);
      return;
    }
    const { min, max } = command.positionals;
    if (positionals.length < min || positionals.length > max) {
      const count = min === max ? min : `${min} to ${max}`;
      throw new UsageError(`expected ${count} argument${count === 1 ? "" : "s"}, got ${positionals.length}`);
    }
    await command.run(positionals, values);
  } catch (error) {
    const e = error as Error;
    const known =
      /^(Usage|Package|Checkpoint|Model|MemoryBudget|Kernel|Tokenizer|Parameter|Snapshot|Peer|Deploy)Error$/.test(
        e.name,
      );
    process.stderr.write(known ? `error: ${e.message}\n` : `${e.stack}\n`);
    if (e.name === "UsageError") process.stderr.write("see --help\n");
    process.exitCode = 1;
  }
}

/** @throws UsageError */
function parse(options: ParseArgsOptionsConfig): { positionals: string[]; values: Values } {
  const names = Object.keys(options);
  for (const token of parseArgs({ options, strict: false, tokens: true }).tokens) {
    if (token.kind !== "option" || names.includes(token.name)) continue;
    const meant = nearName(token.name, names);
    throw new UsageError(
      `there is no option ${token.rawName}${meant === undefined ? "" : `, perhaps --${meant} is meant`}: ` +
        `there ${names.length === 1 ? "is" : "are"} ${names.map((name) => `--${name}`).join(", ")}`,
    );
  }
  try {
    return parseArgs({ options, allowPositionals: true }) as { positionals: string[]; values: Values };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The value of an option that allows some words only. @throws UsageError naming them */
export function choice<const T extends string>(
  name: string,
  value: string | boolean | undefined,
  allowed: readonly T[],
  fallback: T,
): T {
  if (value === undefined) return fallback;
  if (!allowed.includes(value as T))
    throw new UsageError(`--${name} must be one of ${allowed.join(", ")}, is "${value}"`);
  return value as T;
}

/** The value of an option that is a whole number. @throws UsageError */
export function wholeNumber(name: string, value: string | boolean | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new UsageError(`--${name} must be a whole number ≥ 1, is "${value}"`);
  return number;
}

/** A progress bar on stderr; silent where stderr is not a terminal. */
export function progressBar(what: string): { update(done: number, total: number): void; stop(): void } {
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% | {eta_formatted} left`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
  });
  let started = false;
  return {
    update(done, total) {
      if (started) bar.update(done);
      else bar.start(total, done);
      started = true;
    },
    stop() {
      bar.stop();
    },
  };
}
