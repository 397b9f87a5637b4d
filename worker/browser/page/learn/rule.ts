import { inWords, onKey } from "../access.ts";
import { byId, element } from "../dom.ts";
import { svg } from "../plot.ts";
import { type InContextModel, Learners, type Where } from "./service.ts";

/** The study's sparse parity: ten switches of ±1, and a light that is the product of two of them. */
const [SWITCHES, EXAMPLES, LAST] = [10, 60, 20];
const CELL = 10;

interface Example {
  readonly x: readonly number[];
  readonly y: number;
}

/** Models trained on sparse parity, by the name that they are packaged under. */
export function isRuleModel({ name, inputs }: InContextModel): boolean {
  return inputs === SWITCHES && /parity/i.test(name);
}

/** Shows, example by example, which lights each model said before it saw them. */
export function showRule(models: readonly InContextModel[]): void {
  byId("rule").hidden = models.length === 0;
  if (models.length === 0) return;
  const learners = new Learners();
  /** The answers to an earlier rule may come late. */
  let round = 0;
  const rows = models.map((model) => {
    const [strip, wrong] = [element("div", {}), element("span", { className: "note" })];
    return { model, strip, wrong, row: element("li", {}, element("span", {}, model.name), strip, wrong) };
  });
  byId("rule-rows").replaceChildren(...rows.map(({ row }) => row));
  byId("rule-new").addEventListener("click", () => void again());
  onKey(() => {
    if (byId("rule-status").textContent !== "") void again();
  });
  void again();

  async function again(): Promise<void> {
    const mine = ++round;
    const { switches, examples } = drawExamples();
    const last = examples.at(-1)!;
    byId("rule-status").textContent = "";
    byId("rule-is").textContent = `This one: the light follows switches ${switches[0]! + 1} and ${switches[1]! + 1}.`;
    const where = byId<HTMLSelectElement>("learn-where").value as Where;
    const place = where === "session" ? "rest" : where;
    await Promise.all(
      rows.map(async ({ model, strip, wrong }) => {
        try {
          const answer = await learners.predict(model.id, place, examples.slice(0, -1), [last.x]);
          if (mine !== round) return;
          const right = [...answer.before, answer.predictions[0]!].map(([y], i) => Math.sign(y!) === examples[i]!.y);
          const mistakes = right.slice(-LAST).filter((r) => !r).length;
          strip.replaceChildren(drawStrip(model.name, right));
          wrong.textContent = `Wrong in the last row: ${mistakes} of ${LAST}`;
        } catch (error) {
          if (mine !== round) return;
          byId("rule-status").textContent = `${model.name}: ${inWords(error as Error)}`;
        }
      }),
    );
  }
}

function drawExamples(): { readonly switches: readonly number[]; readonly examples: readonly Example[] } {
  const first = Math.floor(Math.random() * SWITCHES);
  const second = (first + 1 + Math.floor(Math.random() * (SWITCHES - 1))) % SWITCHES;
  const examples = Array.from({ length: EXAMPLES }, () => {
    const x = Array.from({ length: SWITCHES }, () => (Math.random() < 0.5 ? 1 : -1));
    return { x, y: x[first]! * x[second]! };
  });
  return { switches: [first, second].sort((a, b) => a - b), examples };
}

/** A square for each example, filled where the model was right, in rows of which the lowest are the last. */
function drawStrip(name: string, right: readonly boolean[]): SVGSVGElement {
  const label = `${name}: right of ${right.filter(Boolean).length} of ${right.length} examples, in order`;
  const viewBox = `0 0 ${LAST * CELL} ${Math.ceil(right.length / LAST) * CELL}`;
  const drawing = svg("svg", { viewBox, class: "strip", role: "img", "aria-label": label });
  for (const [i, r] of right.entries()) {
    const at = { x: (i % LAST) * CELL + 1, y: Math.floor(i / LAST) * CELL + 1 };
    const shape = { ...at, width: CELL - 2, height: CELL - 2, rx: 1.5 };
    drawing.append(svg("rect", { ...shape, class: r ? "right" : "wrong" }));
  }
  return drawing;
}
