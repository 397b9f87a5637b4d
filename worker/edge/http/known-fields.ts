import type { z } from "@hono/zod-openapi";

/**
 * The names of the fields that a schema's objects have at a path, without those that have to be left out.
 * @param path keys, and indices of lists
 */
export function knownFields(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
      return knownFields(def.innerType, path);
    case "pipe":
      return knownFields(def.in, path);
    case "union":
      return def.options.flatMap((option) => knownFields(option, path));
    case "array":
      return path.length > 0 ? knownFields(def.element, path.slice(1)) : [];
    case "object": {
      const [key, ...rest] = path;
      if (key === undefined) return Object.keys(def.shape).filter((name) => !isNull(def.shape[name]!));
      const field = def.shape[String(key)];
      return field === undefined ? [] : knownFields(field, rest);
    }
    default:
      return [];
  }
}

function isNull(schema: z.core.$ZodType): boolean {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  return def.type === "null" || (def.type === "optional" && isNull(def.innerType));
}
