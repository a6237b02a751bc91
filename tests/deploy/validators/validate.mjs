// Reads a list of manifests, and answers with a list of what is wrong with each of them; null for a
// kind that none of the packages knows. The argument is the folder of the packages.
import {existsSync} from "node:fs";
import {join} from "node:path";
import {text} from "node:stream/consumers";
import {pathToFileURL} from "node:url";

const PACKAGES = {
  "external-secrets.io": "external-secrets",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

async function problems(modules, manifest) {
  const [group, version] = manifest.apiVersion.split("/");
  const folder = join(modules, "@kubernetes-models", PACKAGES[group] ?? "", group, version ?? "");
  const file = join(folder, `${manifest.kind}.js`);
  if (!(group in PACKAGES) || !existsSync(file)) {
    return null;
  }
  const Model = (await import(pathToFileURL(file)))[manifest.kind];
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    // What is no word about the manifest is a fault of this file or of a package.
    if (!Array.isArray(error.errors)) {
      throw error;
    }
    return error.errors.map((one) => `${one.instancePath}: ${one.message}`);
  }
}

const manifests = JSON.parse(await text(process.stdin));
const answers = [];
for (const manifest of manifests) {
  answers.push(await problems(process.argv[2], manifest));
}
console.log(JSON.stringify(answers));
