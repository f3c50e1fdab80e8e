// An OpenAPI document as tests use it: its operations, what is wrong with its structure (OpenAPI 3.1,
// the parts that programs which read it depend on), and whether an answer is what it promises.
import { createRequire } from 'node:module';

// The one that judges requests, with the newer dialect of OpenAPI 3.1. Its types are for another module
// system, so what we use of it is said here.
const ofFastify = createRequire(createRequire(import.meta.url).resolve('fastify'));
const { Ajv2020 }: { readonly Ajv2020: new (options: object) => Ajv } =
  ofFastify('ajv/dist/2020.js');

interface Ajv {
  compile(schema: object): Check;
  validateSchema(schema: object): boolean | Promise<unknown>;
  errorsText(errors?: unknown): string;
}

interface Check {
  (value: unknown): boolean;
  readonly errors?: unknown;
}

export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  readonly description?: string;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: JsonSchema;
}

interface OperationText {
  readonly summary?: string;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
}

export interface Operation extends OperationText {
  readonly path: string;
  readonly method: string;
  readonly body: JsonSchema | undefined;
}

export interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationText>>>>;
  readonly components: { readonly securitySchemes?: Readonly<Record<string, unknown>> };
}

const ajv = new Ajv2020({
  strict: false,
  allErrors: true,
  formats: {
    'date-time': (text: string) => new Date(text).toISOString() === text,
    uri: (text: string) => URL.canParse(text),
  },
});

export function operations({ paths }: Document): Operation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, text]) => ({
      ...text,
      path,
      method: method.toUpperCase(),
      body: text.requestBody?.content?.['application/json']?.schema,
    })),
  );
}

/** Why the document is no sound OpenAPI 3.1, sentence by sentence. */
export function documentFaults(document: Document): string[] {
  const faults: string[] = [];
  if (!/^3\.1\.\d+$/.test(document.openapi)) faults.push(`openapi: ${document.openapi}`);
  if (document.info.title === '' || document.info.version === '') faults.push('info is empty');
  for (const operation of operations(document)) {
    const { path, method } = operation;
    faults.push(
      ...operationFaults(document, operation).map((fault) => `${method} ${path}: ${fault}`),
    );
  }
  return faults;
}

function operationFaults(document: Document, operation: Operation): string[] {
  const faults: string[] = [];
  const { path, method, summary, parameters = [], responses, body, security = [] } = operation;
  if (!/^(GET|POST|PUT|DELETE|PATCH)$/.test(method)) faults.push('no method');
  if (summary === undefined || summary === '') faults.push('no summary');
  const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
  const told = parameters.filter((each) => each.in === 'path').map((each) => each.name);
  if (inPath.toSorted().join() !== told.toSorted().join())
    faults.push('parameters of the path differ');
  if (parameters.some((each) => each.in === 'path' && each.required !== true)) {
    faults.push('a parameter of the path is not required');
  }
  if (method === 'GET' && body !== undefined) faults.push('GET with a body');
  for (const scheme of security.flatMap((each) => Object.keys(each))) {
    if (!(scheme in (document.components.securitySchemes ?? {}))) faults.push(`unknown: ${scheme}`);
  }
  const codes = Object.keys(responses);
  if (!codes.some((code) => /^2/.test(code))) faults.push('no answer for success');
  if (!codes.some((code) => /^4/.test(code))) faults.push('no answer for a refusal');
  for (const [code, { description, content = {} }] of Object.entries(responses)) {
    if (!/^([1-5]\d\d|[1-5]XX|default)$/.test(code)) faults.push(`no status: ${code}`);
    if (description === undefined) faults.push(`${code}: no description`);
    for (const { schema } of Object.values(content)) faults.push(...schemaFaults(schema, code));
  }
  for (const { schema, name } of parameters) faults.push(...schemaFaults(schema, name));
  if (body !== undefined) faults.push(...schemaFaults(body, 'body'));
  if (body !== undefined && body.additionalProperties !== false) faults.push('body takes anything');
  return faults;
}

function schemaFaults(schema: JsonSchema, where: string): string[] {
  return ajv.validateSchema(schema) === true ? [] : [`${where}: ${ajv.errorsText()}`];
}

/** Why an answer is not what the document promises; empty: it is. */
export function answerFault(
  operation: Operation,
  answer: { readonly status: number; readonly type: string | undefined; readonly body: string },
): string {
  const { responses } = operation;
  const status = String(answer.status);
  const promised = responses[status] ?? responses[`${status.charAt(0)}XX`];
  if (promised === undefined) return `the status ${status} is not promised`;
  if (promised.content === undefined) return answer.body === '' ? '' : 'a body was not promised';
  const [type = ''] = (answer.type ?? '').split(';', 1);
  const schema = promised.content[type]?.schema;
  if (schema === undefined) return `${status}: the type ${type} is not promised`;
  const check = ajv.compile(schema);
  return check(JSON.parse(answer.body)) ? '' : `${status}: ${ajv.errorsText(check.errors)}`;
}
