import type { Env } from "../env.ts";
import { limitsOf } from "../env.ts";
import { ApiError } from "../http/api-error.ts";
import { show } from "../http/show.ts";
import { evict, responsesPlace } from "../prefixes/evict.ts";
import type { PrefixPlace } from "../prefixes/prefix-ledger.ts";
import { logged } from "../prefixes/prefixes.ts";
import type { InputItem, ResponseObject } from "../schemas/response.ts";
import type { Kept, ResponseStore } from "./response-store.ts";

/** A response as it was given, and the items that came in with it. */
export interface StoredResponse {
  readonly reply: ResponseObject;
  readonly input: readonly InputItem[];
}

/** An id is the conversation's part, then the response's own: whoever has one knows where it is stored. */
const PART = 24;
const ID = new RegExp(`^resp_[0-9a-f]{${2 * PART}}$`);

/** @param previous the id of the response that it goes on from */
export function newResponseId(previous: string | undefined): string {
  return `resp_${previous === undefined ? randomPart() : conversationOf(previous)}${randomPart()}`;
}

function randomPart(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, PART);
}

function conversationOf(id: string): string {
  return id.slice("resp_".length, "resp_".length + PART);
}

/** @throws ApiError 404 on what cannot be an id: no object is made for it */
function storeOf(env: Env, id: string): DurableObjectStub<ResponseStore> {
  if (!ID.test(id)) throw noResponse(id);
  return env.RESPONSES.getByName(conversationOf(id));
}

function noResponse(id: string): ApiError {
  return new ApiError({
    code: "response_not_found",
    message: `response ${show(id)} does not exist, was not stored, was deleted, has expired or made room for newer ones, or is another key's`,
  });
}

/** @throws ApiError 404 */
export async function readResponse(env: Env, owner: string, id: string): Promise<StoredResponse> {
  const body = await storeOf(env, id).read(owner, id);
  if (body === undefined) throw noResponse(id);
  return decode(body);
}

/** A response and all that it went on from, the first one first. @throws ApiError 404 */
export async function readConversation(env: Env, owner: string, id: string): Promise<StoredResponse[]> {
  const bodies = await storeOf(env, id).readAll(owner, id);
  if (bodies === undefined) throw noResponse(id);
  return bodies.map(decode);
}

/** The conversation that a request goes on from. @throws ApiError 404 that names the field */
export async function readPrevious(env: Env, owner: string, id: string): Promise<StoredResponse[]> {
  try {
    return await readConversation(env, owner, id);
  } catch (error) {
    throw error instanceof ApiError && error.status === 404 ? noPrevious(id) : error;
  }
}

function noPrevious(id: string): ApiError {
  const { message } = noResponse(id);
  return new ApiError({
    code: "previous_response_not_found",
    param: "previous_response_id",
    message: `previous_response_id: ${message}: send the whole conversation as input`,
  });
}

/**
 * Stores a response within its owner's budget.
 * @param states where states of it are kept: they go with it
 * @throws ApiError 404 when the one that it went on from was deleted meanwhile
 */
export async function storeResponse(
  env: Env,
  owner: string,
  response: StoredResponse,
  states: readonly PrefixPlace[],
): Promise<void> {
  const { id, previous_response_id: parent } = response.reply;
  const body = new TextEncoder().encode(JSON.stringify(response));
  const kept = (await storeOf(env, id).put(owner, { id, parent, body, states })) as Kept | undefined;
  if (kept === undefined) throw noPrevious(parent!);
  // It is stored already. Uncounted, it goes when it expires.
  await count(env, owner, id, kept.bytes).catch(logged("count"));
}

/** Deletes a response, and the states that only it had. @throws ApiError 404 */
export async function deleteResponse(env: Env, owner: string, id: string): Promise<void> {
  const removed = await storeOf(env, id).remove(owner, id);
  if (removed === undefined) throw noResponse(id);
  const { bytes } = removed;
  const states = [...removed.states];
  const gone = bytes === 0 ? [...states, responsesPlace(conversationOf(id))] : states;
  await env.PREFIX_LEDGERS.getByName(owner).forget(gone);
  await evict(env, states);
  if (bytes > 0) await count(env, owner, id, bytes);
}

async function count(env: Env, owner: string, id: string, bytes: number): Promise<void> {
  const { root, hash } = responsesPlace(conversationOf(id));
  const added = [{ hash, bytes, ttl: limitsOf(env).responseTtl }];
  await evict(env, await env.PREFIX_LEDGERS.getByName(owner).record({ root, used: [], added }));
}

function decode(body: Uint8Array): StoredResponse {
  return JSON.parse(new TextDecoder().decode(body)) as StoredResponse;
}
