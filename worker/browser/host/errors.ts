/** This browser cannot store the package: the message has the numbers. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

/** The backend asked for cannot run here. */
export class BackendError extends Error {
  override readonly name = "BackendError";
}

/** The edge refused, or could not be reached. */
export class EdgeError extends Error {
  override readonly name = "EdgeError";
  /** HTTP, absent when there was no reply. */
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}
