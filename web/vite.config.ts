import { defineConfig } from "vitest/config";

import { clean, compress, notices, paintOnce } from "./build/plugins.ts";

export default defineConfig({
  plugins: [clean(), paintOnce(), notices(), compress()],
  build: {
    // `clean` does it, and leaves .gitignore where it is: cargo looks at the directory's date.
    emptyOutDir: false,
    // No inline data, no code that only old browsers need.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: ["chrome123", "firefox120", "safari17.5"],
    reportCompressedSize: false,
  },
  test: { include: ["src/**/*.test.ts", "build/**/*.test.ts"] },
});
