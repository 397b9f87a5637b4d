/** What lies where a checkpoint was expected: notes of git-lfs, GGUF, names of Hugging Face's hub. For Node only. */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { CheckpointError } from "../errors.ts";

/** https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
const LFS_START = "version https://git-lfs.github.com/spec/";
/** owner/model. */
const HUB_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;
const READ = /\.(safetensors|safetensors\.index\.json|bin|pth|pt|ckpt)$/;

/** @throws CheckpointError when a file is git-lfs's note of what belongs there, or GGUF */
export async function refuseOtherFormat(path: string): Promise<void> {
  const file = await open(path);
  try {
    const start = Buffer.alloc(LFS_START.length);
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    const begins = start.toString("latin1", 0, bytesRead);
    if (begins === LFS_START) {
      throw new CheckpointError(
        `${path}: a git-lfs pointer, not the file itself; run \`git lfs pull\` in its folder (\`git lfs install\` before, where git does not know lfs)`,
      );
    }
    if (begins.startsWith("GGUF")) throw gguf(path);
  } finally {
    await file.close();
  }
}

/** @throws CheckpointError when a folder's weights are GGUF alone */
export function refuseGgufFolder(files: readonly string[], description: string): void {
  const found = files.find((file) => file.endsWith(".gguf"));
  if (found !== undefined && !files.some((file) => READ.test(file))) throw gguf(`${description}: ${found}`);
}

/** How to get a model of Hugging Face's hub; nothing where the path looks like none. */
export function downloadHint(path: string): string {
  if (!HUB_NAME.test(path)) return "";
  const folder = `checkpoints/${basename(path)}`;
  return (
    `. If it is a model's name on Hugging Face's hub, download it (\`pip install huggingface_hub\` brings hf): ` +
    `\`hf download ${path} --local-dir ${folder}\`, and give ${folder} in its place`
  );
}

function gguf(what: string): CheckpointError {
  return new CheckpointError(
    `${what}: GGUF is not read, as its weights are quantized already; give the checkpoint that it was made from (config.json and *.safetensors)`,
  );
}
