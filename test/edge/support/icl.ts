import { expect } from "vitest";
import type { IclReply } from "../../../worker/edge/schemas/icl.ts";
import { call } from "./client.ts";

export const ask = (body: unknown): Promise<Response> => call("POST", "/v1/icl/predictions", body);
export async function predicted(body: Record<string, unknown>): Promise<IclReply> {
  const response = await ask(body);
  const reply = await response.json<IclReply>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

export const examplesOf = ({ xs, ys }: { xs: number[][]; ys: number[] }) => xs.map((x, i) => ({ x, y: ys[i]! }));
export function expectClose(seen: unknown, wanted: readonly number[]): void {
  expect(seen).toHaveLength(wanted.length);
  const largest = Math.max(...wanted.map(Math.abs));
  (seen as number[]).forEach((v, i) => {
    expect(Math.abs(v - wanted[i]!) / largest).toBeLessThan(1e-4);
  });
}
