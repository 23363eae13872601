/** What the bundler does beside bundling: notices of third parties, and compressed files. */

import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import type { Plugin } from "vite";

/** Removes what an earlier build has left. */
export function clean(): Plugin {
  return {
    name: "clean",
    apply: "build",
    options() {
      const dist = "dist";
      if (!existsSync(dist)) {
        return;
      }
      for (const name of readdirSync(dist)) {
        if (name !== ".gitignore") {
          rmSync(join(dist, name), { recursive: true });
        }
      }
    },
  };
}

/** Has the browser wait for the script before it paints: the first picture has the right theme. */
export function paintOnce(): Plugin {
  return {
    name: "paint-once",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: (html) =>
        html.replace('<script type="module" crossorigin', '<script type="module" blocking="render"')
          .replace('<link rel="stylesheet" crossorigin', '<link rel="stylesheet"'),
    },
  };
}

const modules = "/node_modules/";

/** The directory of the package that a bundled module is from. */
export function packageOf(module: string): string | undefined {
  const path = module.replace(/^\0/, "").replace(/\?.*$/, "");
  const at = path.lastIndexOf(modules);
  if (at < 0) {
    return undefined;
  }
  const parts = path.slice(at + modules.length).split("/");
  const name = parts.slice(0, parts[0]?.startsWith("@") ? 2 : 1).join("/");
  return path.slice(0, at + modules.length) + name;
}

/** One package's part of the notices: its name, its version, and its licence word for word. */
export function notice(directory: string): string {
  const about = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
    name: string;
    version: string;
    license?: string;
  };
  const file = readdirSync(directory).find((name) => /^(licen[cs]e|copying)(\..*)?$/i.test(name));
  if (file === undefined) {
    throw new Error(`${about.name} has no licence file: say in build/plugins.ts where it is`);
  }
  const text = readFileSync(join(directory, file), "utf8").trim();
  return `${about.name} ${about.version} (${about.license ?? "see below"})\n\n${text}\n`;
}

/** Writes `assets/third-party.txt`: the licence of every package of which code is in the bundle. */
export function notices(): Plugin {
  return {
    name: "notices",
    apply: "build",
    generateBundle(_options, bundle) {
      const packages = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === "chunk") {
          for (const module of chunk.moduleIds) {
            const found = packageOf(module);
            if (found !== undefined) {
              packages.add(found);
            }
          }
        }
      }
      const head = "Software of others in the interface of rproxy, and its licences.\n";
      const parts = [...packages].sort().map(notice);
      this.emitFile({
        type: "asset",
        fileName: "assets/third-party.txt",
        source: [head, ...parts].join(`\n${"-".repeat(80)}\n\n`),
      });
    },
  };
}

/** Writes each file beside itself as `.br` and `.gz`, where that is smaller. */
export function compress(): Plugin {
  return {
    name: "compress",
    apply: "build",
    closeBundle() {
      pack("dist");
    },
  };
}

function pack(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      pack(path);
      continue;
    }
    if (!/\.(html|js|css|svg|txt|json|webmanifest)$/.test(entry.name)) {
      continue;
    }
    const plain = readFileSync(path);
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
    const brotli = brotliCompressSync(plain, { params });
    const gzip = gzipSync(plain, { level: 9 });
    if (brotli.length <= gzip.length && gzip.length < plain.length) {
      writeFileSync(`${path}.br`, brotli);
      writeFileSync(`${path}.gz`, gzip);
    }
  }
}
