/** Names of the learning-rate schedules, for configurations: they must be readable without loading a runtime. */
export const SCHEDULES = ["constant", "warmup", "warmup-cosine"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];
