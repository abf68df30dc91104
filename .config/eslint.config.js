import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules/", ".build/", "artifacts/"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { project: "./tsconfig.json", tsconfigRootDir: new URL("..", import.meta.url).pathname },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true, allowArray: true },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      // TensorFlow.js hands kernels their attributes untyped; a type parameter is how a kernel says which ones it takes.
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      // A function that promises rejects instead of throwing, whether or not it has to wait.
      "@typescript-eslint/require-await": "off",
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: "Draw from an Rng (shared/rng.ts)." },
      ],
    },
  },
);
