/** What kernels use beyond core WGSL. Core WGSL is the baseline: each of these is tried against it (tune.ts). */
export interface Variants {
  /** lanes at least of a subgroup, which sum without workgroup memory; 0 where subgroups are not used. */
  readonly subgroup: 0 | 4 | 8 | 16 | 32 | 64;
  /** int8 activations and packed dots in the q8 and q4 products of one token with in_proj and the head. */
  readonly packed: boolean;
  /** type in which products of many tokens multiply, 32 columns at a time; undefined multiplies the baseline's way. f32 is for tests. */
  readonly half: "f16" | "f32" | undefined;
}

export type VariantName = keyof Variants;

export const BASELINE: Variants = { subgroup: 0, packed: false, half: undefined };

/** What a device could use. @param language of WGSL, `navigator.gpu.wgslLanguageFeatures` */
export function offeredVariants(device: GPUDevice, language: { has(feature: string): boolean }): Variants {
  const { subgroupMinSize = 0 } = device.features.has("subgroups") ? device.adapterInfo : {};
  return {
    subgroup: subgroupMinSize < 4 ? 0 : (Math.min(64, subgroupMinSize) as Variants["subgroup"]),
    packed: language.has("packed_4x8_integer_dot_product"),
    half: device.features.has("shader-f16") ? "f16" : undefined,
  };
}

/** What must stand at the beginning of a kernel that uses these. */
export function directives(variants: Variants): string {
  return [
    variants.half === "f16" ? "enable f16;\n" : "",
    variants.subgroup > 0 ? "enable subgroups;\n" : "",
    variants.packed ? "requires packed_4x8_integer_dot_product;\n" : "",
  ].join("");
}
