import { defineConfig } from "vitest/config";

/** Two projects: `tests` is what the README calls the tests; `architecture` is the part of `npm run check` that reads imports. */
export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "tests", include: ["tests/**/*.test.ts"] } },
      { extends: true, test: { name: "architecture", include: ["tests/architecture.test.ts"] } },
    ],
  },
});
