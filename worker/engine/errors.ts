/** A request parameter out of its range. The HTTP layer answers 400 with `message` and `param`. */
export class ParameterError extends Error {
  override readonly name = "ParameterError";
  /** The parameter as it is spelled on the wire, such as "top_p". */
  readonly param: string;
  /** "context" where it is more than the model can look back at. */
  readonly kind: "value" | "context";

  constructor(message: string, param: string, kind: ParameterError["kind"] = "value") {
    super(message);
    this.param = param;
    this.kind = kind;
  }
}

/** A tokenizer.json that cannot be used: malformed, or of a kind that is not supported. The package is at fault. */
export class TokenizerError extends Error {
  override readonly name = "TokenizerError";
}

/** A logit that is NaN or infinite: the state or the weights are damaged, and no token may be drawn from it. */
export class NonFiniteLogitsError extends Error {
  override readonly name = "NonFiniteLogitsError";
  readonly token: number;

  constructor(token: number, value: number) {
    super(
      `the logit of token ${token} is ${value}: the state or the weights are damaged; ` +
        "go on from an earlier snapshot or start a new sequence",
    );
    this.token = token;
  }
}

/** A state with a value that is NaN or infinite: nothing goes on from it, so no snapshot of it is taken. */
export class NonFiniteStateError extends Error {
  override readonly name = "NonFiniteStateError";

  constructor(index: number, value: number) {
    super(
      `value ${index} of the state is ${value}, no snapshot of it is taken: what was fed was too large, or the weights are damaged; ` +
        "go on from an earlier snapshot or start a new sequence",
    );
  }
}

/** A checkpoint or package that the engine cannot run: an unknown architecture, a missing tensor, more memory than the budget. */
export class ModelError extends Error {
  override readonly name: string = "ModelError";
}

/** A model that does not fit the memory it is given, with the numbers. */
export class MemoryBudgetError extends ModelError {
  override readonly name = "MemoryBudgetError";
  /** what needs how much, in words. */
  readonly demand: string;
  /** bytes. */
  readonly need: number;
  /** bytes. */
  readonly budget: number;

  /** @param remedy what to do about it besides taking a smaller model */
  constructor(demand: string, need: number, budget: number, remedy = "give it a larger budget") {
    super(
      `${demand}, the budget is ${(budget / 1e6).toFixed(1)} MB: convert it with a smaller --quant, take a smaller model, or ${remedy}`,
    );
    this.demand = demand;
    this.need = need;
    this.budget = budget;
  }
}

/** Bytes that are no snapshot, or one that does not fit the model it is to continue on. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
}

/** A picture that cannot be read: of another kind than are read, with more pixels than are read, or damaged. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly kind: "unsupported" | "too-large" | "damaged";

  constructor(kind: ImageError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}
