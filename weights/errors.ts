/** A model package that cannot be read or written: the message says what was wrong, what was seen and what to do. */
export class PackageError extends Error {
  override readonly name: string = "PackageError";
}

/** A load went on without this leader, because another took over. Nothing more of the old leader's was applied: follow the load instead. */
export class LeadershipLost extends PackageError {
  override readonly name = "LeadershipLost";
}

/** A checkpoint that cannot be read: the message says what was wrong, what was seen and what to do. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
}
