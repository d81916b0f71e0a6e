// Generates schema.json: every field of each published kind, its type, and whether it is required, from the type declarations in two npm packages.
// To add a kind, extend the list below and run:
//   cd "$(mktemp -d)" && npm install kubernetes-models@5.1.0 @kubernetes-models/prometheus-operator@6.0.0
//   node .../tests/AppHost.Tests/Kubernetes/schema.mjs node_modules > .../tests/AppHost.Tests/Kubernetes/schema.json
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const modules = resolve(process.argv[2]);
const kubernetes = join(modules, 'kubernetes-models');
const operator = join(modules, '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1');

const kinds = {
  ...Object.fromEntries(['ConfigMap', 'Namespace', 'Secret', 'Service', 'ServiceAccount'].map(kind => [`v1/${kind}`, join(kubernetes, 'v1', kind)])),
  ...Object.fromEntries(['Deployment', 'StatefulSet'].map(kind => [`apps/v1/${kind}`, join(kubernetes, 'apps/v1', kind)])),
  'autoscaling/v2/HorizontalPodAutoscaler': join(kubernetes, 'autoscaling/v2/HorizontalPodAutoscaler'),
  'policy/v1/PodDisruptionBudget': join(kubernetes, 'policy/v1/PodDisruptionBudget'),
  ...Object.fromEntries(['Ingress', 'NetworkPolicy'].map(kind => [`networking.k8s.io/v1/${kind}`, join(kubernetes, 'networking.k8s.io/v1', kind)])),
  ...Object.fromEntries(['PrometheusRule', 'ServiceMonitor'].map(kind => [`monitoring.coreos.com/v1/${kind}`, join(operator, kind)])),
};

const types = {};

/** A type: "string", ["string"] for a list, {"": "string"} for a map, {"field": …} for an object, or the name of an object type. */
function typeOf(text, file) {
  text = text.trim();
  let match;
  if ((match = /^Array<(.*)>$/s.exec(text))) return [typeOf(match[1], file)];
  if ((match = /^\{\s*\[key: string\]: (.*);\s*\}$/s.exec(text))) return { '': typeOf(match[1], file) };
  if (/^("[^"]*"( \| )?)+$/.test(text)) return 'string';
  if (['string', 'number', 'boolean'].includes(text)) return text;
  if (/^(string \| number|number \| string)$/.test(text)) return 'string or number';
  if (text === 'any' || text === '{}' || text === 'object') return 'any';
  if (text.startsWith('{')) return fieldsOf(text.slice(1, -1), file);
  return named(text, file);
}

function named(name, file) {
  const from = new RegExp(`import \\{[^}]*\\b${name}\\b[^}]*\\} from "([^"]+)"`).exec(file.text)?.[1];
  let path = file.path;
  if (from) path = from.startsWith('.') ? join(dirname(file.path), from.replace(/\.js$/, '')) : join(modules, from.replace(/\.js$/, ''));
  const imported = { path, text: readFileSync(`${path}.d.ts`, 'utf8') };
  const own = path.split('/').pop();
  const alias = new RegExp(`export (?:declare )?type I?${own} = ([^;]+);`).exec(imported.text);
  if (alias) return typeOf(alias[1], imported);
  return object(imported, own);
}

function object(file, own) {
  const name = file.path.slice(modules.length + 1).replace(/^@kubernetes-models\/|^kubernetes-models\//, '');
  if (name in types) return name;
  const fields = (types[name] = {});
  const body = new RegExp(`export interface I${own}(?: extends [^{]*)? \\{\\n(.*?)^\\}`, 'ms').exec(file.text)?.[1];
  if (body === undefined) throw new Error(`${file.path} declares no interface I${own}`);
  Object.assign(fields, fieldsOf(body, file));
  return name;
}

/** Fields by name, with "!" after the names of required ones. */
function fieldsOf(body, file) {
  const fields = {};
  body = body.replace(/\/\*\*.*?\*\//gs, '');
  const indent = /^ *(?=")/m.exec(body)?.[0];
  for (const declaration of body.split(new RegExp(`^${indent}(?=")`, 'm'))) {
    if (!declaration.trim()) continue;
    const [, field, optional, type] = /^"([^"]+)"(\?)?: (.*);\s*$/s.exec(declaration) ?? [];
    if (!field) throw new Error(`${file.path}: ${declaration}`);
    fields[optional ? field : `${field}!`] = typeOf(type, file);
  }
  return fields;
}

const roots = {};
for (const [kind, path] of Object.entries(kinds)) {
  if (!existsSync(`${path}.d.ts`)) throw new Error(`${path}.d.ts does not exist`);
  roots[kind] = object({ path, text: readFileSync(`${path}.d.ts`, 'utf8') }, path.split('/').pop());
}
// One line for each type keeps diffs readable.
const lines = record => Object.keys(record).sort().map(key => `    ${JSON.stringify(key)}: ${JSON.stringify(record[key])}`).join(',\n');
console.log(`{\n  "kinds": {\n${lines(roots)}\n  },\n  "types": {\n${lines(types)}\n  }\n}`);
