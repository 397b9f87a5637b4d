import { KernelError } from "../backend.ts";
import type { Block, Linear, Norm, S4d } from "../blocks.ts";
import { type Arena, apart, roundUp } from "./arena.ts";
import { type PlacedBlock, type PlacedNorm, type PlacedS4d, type Projection, ROWS } from "./placed.ts";
import { CHANNELS, type Place } from "./tensors.ts";

/** Gives a block the addresses of its tensors, and of its state inside a slot. */
export function placeBlock(block: Block, places: ReadonlyMap<string, Place>, slot: Arena): PlacedBlock {
  const at = (name: string): Place => places.get(name) as Place;
  const address = (name: string | undefined): number => (name === undefined ? 0 : at(name).offset);
  const projection = (l: Linear): Projection => ({ matrix: at(l.weight), bias: address(l.bias) });
  const norm = (n: Norm): PlacedNorm => ({
    type: n.type,
    weight: address(n.weight),
    bias: n.type === "layer" ? address(n.bias) : 0,
    eps: n.eps,
  });
  const s4d = ({ state, decay, C, D }: S4d): PlacedS4d => ({
    state,
    decay: address(decay),
    C: address(C),
    D: address(D),
  });
  switch (block.kind) {
    case "embedding":
      return { kind: "embedding", table: at(block.weight) };
    case "read-in":
      return { kind: "read-in", inputs: block.inputs, proj: projection(block.proj) };
    case "positions":
      return { kind: "positions", table: address(block.weight) };
    case "norm":
      return { kind: "norm", norm: norm(block.norm) };
    case "head":
      return { kind: "head", proj: projection(block.proj) };
    case "mamba": {
      const channels = roundUp(block.inner, CHANNELS);
      return {
        kind: "mamba",
        block,
        norm: norm(block.norm),
        inProj: projection(block.inProj),
        convWeight: address(block.convWeight),
        convBias: address(block.convBias),
        xProj: projection({ weight: block.xProj }),
        dtProj: projection(block.dtProj),
        A: address(block.A),
        D: address(block.D),
        outProj: projection(block.outProj),
        channels,
        xzStride: apart(roundUp(block.inner + channels, ROWS)),
        dbcStride: roundUp(block.dtRank + 2 * block.state, ROWS),
        convState: slot.takeF32((block.conv - 1) * channels),
        ssmState: slot.takeF32(block.state * channels),
      };
    }
    case "s4-mamba": {
      const channels = roundUp(block.inner, CHANNELS);
      return {
        kind: "s4-mamba",
        block,
        norm: norm(block.norm),
        inProj: projection(block.inProj),
        convWeight: address(block.convWeight),
        convBias: address(block.convBias),
        s4d: s4d(block.s4d),
        outProj: projection(block.outProj),
        channels,
        xzStride: apart(roundUp(block.inner + channels, ROWS)),
        convState: slot.takeF32((block.conv - 1) * channels),
        ssmState: slot.takeF32(2 * block.s4d.state * channels),
      };
    }
    case "s4d": {
      const channels = roundUp(block.dim, CHANNELS);
      return {
        kind: "s4d",
        block,
        norm: norm(block.norm),
        s4d: s4d(block.s4d),
        mix: projection(block.mix),
        channels,
        xzStride: roundUp(2 * block.dim, ROWS),
        ssmState: slot.takeF32(2 * block.s4d.state * channels),
      };
    }
    case "attention": {
      const width = block.dim / block.heads;
      const lanes = roundUp(width, 4);
      return {
        kind: "attention",
        block,
        norm: norm(block.norm),
        qkv: projection(block.qkv),
        proj: projection(block.proj),
        xzStride: roundUp(3 * block.dim, ROWS),
        width,
        lanes,
        keys: slot.takeF32(roundUp(block.capacity, CHANNELS) * block.dim),
        values: slot.takeF32(block.capacity * lanes * block.heads),
      };
    }
    case "mlp":
      return {
        kind: "mlp",
        block,
        norm: norm(block.norm),
        up: projection(block.up),
        down: projection(block.down),
        xzStride: roundUp(block.hidden, ROWS),
      };
    default:
      throw new KernelError(`block kind ${block.kind} is not run by the wasm backend`);
  }
}
