export type Schema = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The values that a schema lists; undefined when it lists none. */
export function valuesOf(schema: Schema): readonly unknown[] | undefined {
  const { enum: listed } = schema;
  if (!("const" in schema)) return "enum" in schema ? (Array.isArray(listed) ? listed : []) : undefined;
  if (!Array.isArray(listed)) return [schema.const];
  return listed.filter((value) => JSON.stringify(value) === JSON.stringify(schema.const));
}

/**
 * Whether it is certain that no value fits two of the schemas: because of the types, the values listed, or those listed for a property
 * that both require.
 * @param resolve follows a $ref
 */
export function areDisjoint(schemas: readonly unknown[], resolve: (schema: unknown) => unknown): boolean {
  const resolved = schemas.map(resolve);
  return resolved.every((a, i) => resolved.slice(i + 1).every((b) => isRecord(a) && isRecord(b) && apart(a, b)));
}

function apart(a: Schema, b: Schema): boolean {
  const [types, others] = [typesOf(a), typesOf(b)];
  if (types !== undefined && others !== undefined && !types.some((type) => others.includes(type))) return true;
  const [values, otherValues] = [valuesOf(a), valuesOf(b)];
  if (values !== undefined && otherValues !== undefined) return !values.some((value) => includes(otherValues, value));
  const shared = requiredOf(a).filter((name) => requiredOf(b).includes(name));
  return shared.some((name) => {
    const [one, other] = [propertyOf(a, name), propertyOf(b, name)];
    return (
      isRecord(one) &&
      isRecord(other) &&
      valuesOf(one) !== undefined &&
      valuesOf(other) !== undefined &&
      apart(one, other)
    );
  });
}

/** Integers are numbers. */
function typesOf(schema: Schema): unknown[] | undefined {
  const { type } = schema;
  const types = Array.isArray(type) ? type : typeof type === "string" ? [type] : valuesOf(schema)?.map(typeOf);
  return types?.map((name) => (name === "integer" ? "number" : name));
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Whether the value may be among them: two objects, or two lists, may be the same in another spelling. */
function includes(values: readonly unknown[], value: unknown): boolean {
  return values.some((other) => other === value || (isObject(other) && isObject(value)));
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function requiredOf({ type, required }: Schema): string[] {
  return type === "object" && Array.isArray(required) ? required : [];
}

function propertyOf({ properties }: Schema, name: string): unknown {
  return isRecord(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
}
