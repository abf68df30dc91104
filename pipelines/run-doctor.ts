/** The collapse doctor beside a training run: looks in at every evaluation, speaks when something is wrong, and is asked at the end. */
import type { Reporter } from "../shared/train/reporter.ts";
import {
  describeFinding,
  diagnose,
  trainingFigures,
  type Finding,
  type ModelFigures,
  type TokenizerConfig,
  type TrainingFigures,
} from "../stage1-tokenizer/index.ts";

export interface RunDoctor {
  /** After an evaluation: findings that are not well are noted. @param recent means of the last steps' metrics */
  readonly examine: (step: number, heldOut: ModelFigures, recent: Readonly<Record<string, number>>) => void;
  /** The findings on the state that is kept, of `step`, and the training figures that go with it. */
  conclude(step: number, heldOut: ModelFigures): { findings: readonly Finding[]; training: TrainingFigures };
}

export function createRunDoctor(config: TokenizerConfig, reporter: Reporter): RunDoctor {
  const seen = new Map<number, TrainingFigures>();
  return {
    examine(step, heldOut, recent) {
      const training = trainingFigures(config, recent);
      seen.set(step, training);
      for (const finding of diagnose({ config, figures: heldOut, training, step })) {
        if (finding.severity !== "ok") reporter.note(describeFinding(finding));
      }
    },
    conclude(step, heldOut) {
      const training = seen.get(step) ?? {}; // none of a state that an earlier part of a resumed run kept
      return { findings: diagnose({ config, figures: heldOut, training, step }), training };
    },
  };
}
