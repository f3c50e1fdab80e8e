// Answers that are the same for very many names: about plain devices, with whatever is below them, and
// about names that do not exist. They differ only in how long the question is, and so in where their
// compressed names lie. The codec writes such an answer once; for further questions only its pointers
// move. So a name that nobody asked for before costs little more than one in the cache.
import { answerQuestion } from './answer.ts';
import { labelKey } from './answer-cache.ts';
import type { AnswerWriter, Body } from './codec.ts';
import { encodeName, lowerByte, wireLabel, wireLabels } from './domain-name.ts';
import type { Query } from './query.ts';
import { CLASS, type RecordSet } from './record.ts';
import type { Zone, ZoneNode } from './zone.ts';

const TEMPLATE_LIMITS = {
  /** A dozen types are asked for in earnest; strangers can ask for all 65,536. */
  typesMax: 64,
  /** A pointer has 14 bits, which must do behind the longest question too. */
  bodyBytesMax: 4096,
} as const;

const QUESTION_AT = 12;
const STAR = 0x2a;

interface Template {
  readonly body: Body;
  /** First labels below the apex of what the answer tells besides its question. */
  readonly leadsTo: readonly string[];
  /** Where in the body the pointers are that move with the question's end. */
  readonly pointers: readonly number[];
  /** Of the question for which they are right now. */
  questionEnd: number;
}

export class AnswerTemplates {
  readonly #writer: AnswerWriter;
  #zone: Zone | undefined;
  #apex: Buffer = Buffer.alloc(0);
  #apexLabels = 0;
  /** Of plain devices, which share them. */
  #sets: readonly RecordSet[] | undefined;
  readonly #present = new Map<number, Template>();
  readonly #absent = new Map<number, Template>();
  /** The label below `*` has other rules: nothing is there (RFC 4592, section 4.7). */
  #isBelowStar = false;
  /** The first label below the apex, of the question found last, as `labelKey` gives it. */
  label = 0;
  /** The labels that its answer depends on besides. */
  leadsTo: readonly string[] = [];

  constructor(writer: AnswerWriter) {
    this.#writer = writer;
  }

  /** How many are kept. */
  get size(): number {
    return this.#present.size + this.#absent.size;
  }

  /** Good until the next call. Undefined: the answer to this question is one of its own, or too long. */
  find(message: Buffer, query: Query, zone: Zone, bytesMax: number): Readonly<Body> | undefined {
    if (zone !== this.#zone) this.#follow(zone);
    if (query.class !== CLASS.IN) return undefined;
    const at = this.#firstBelowApex(message, query.questionEnd - 4);
    if (at === 0) return undefined;
    const label = wireLabel(message, at);
    const templates = this.#templatesFor(zone.top.get(label), zone);
    if (templates === undefined) return undefined;
    const template = templates.get(query.type) ?? this.#make(message, query, zone, templates);
    if (template.body.length > bytesMax) return undefined;
    this.label = labelKey(label);
    this.leadsTo = template.leadsTo;
    if (template.questionEnd !== query.questionEnd) move(template, query.questionEnd);
    return template.body;
  }

  /** Whatever changes in a zone makes another one of it; a few templates are soon made anew. */
  #follow(zone: Zone): void {
    this.#zone = zone;
    this.#apex = encodeName(zone.apex) ?? this.#apex;
    this.#apexLabels = zone.apex.split('.').length;
    this.#sets = undefined;
    this.#present.clear();
    this.#absent.clear();
  }

  #templatesFor(node: ZoneNode | undefined, zone: Zone): Map<number, Template> | undefined {
    if (node === undefined) return zone.top.has('*') ? undefined : this.#absent;
    if (this.#isBelowStar || !isUniform(node)) return undefined;
    this.#sets ??= node.sets;
    return node.sets === this.#sets ? this.#present : undefined;
  }

  /** Where the label next to the apex begins; 0: the question is not about a name below the apex. */
  #firstBelowApex(message: Buffer, nameEnd: number): number {
    const apex = this.#apex;
    const apexAt = nameEnd - apex.length;
    let first = 0;
    let second = 0;
    let at = QUESTION_AT;
    while (at < apexAt) {
      second = first;
      first = at;
      at += 1 + (message[at] ?? 0);
    }
    if (at !== apexAt) return 0;
    for (let index = 0; index < apex.length; index += 1) {
      if (lowerByte(message[apexAt + index] ?? 0) !== apex[index]) return 0;
    }
    this.#isBelowStar =
      second > QUESTION_AT && message[second] === 1 && message[second + 1] === STAR;
    return first;
  }

  #make(message: Buffer, query: Query, zone: Zone, into: Map<number, Template>): Template {
    const { questionEnd, type } = query;
    const labels = wireLabels(message, QUESTION_AT);
    const answer = answerQuestion({ labels, type, class: query.class }, zone);
    const place = { start: questionEnd, end: Number.POSITIVE_INFINITY, shared: this.#apexLabels };
    const { bytes, start, ...rest } = this.#writer.write(answer, labels, place);
    const copy = Buffer.from(bytes.subarray(start, start + rest.length));
    const { pointers } = this.#writer;
    const body = { ...rest, bytes: copy, start: 0 };
    const template = { body, leadsTo: answer.labels.slice(1), pointers, questionEnd };
    if (copy.length > TEMPLATE_LIMITS.bodyBytesMax) return template;
    if (into.size >= TEMPLATE_LIMITS.typesMax) into.clear();
    into.set(type, template);
    return template;
  }
}

/** Whether all names below it, and it itself, have the same records: what `ZoneText.plainDevice` is. */
function isUniform({ sets, children }: ZoneNode): boolean {
  if (children?.size !== 1) return false;
  const wildcard = children.get('*');
  return wildcard?.sets === sets && wildcard.children === undefined;
}

function move(template: Template, questionEnd: number): void {
  const { bytes } = template.body;
  const by = questionEnd - template.questionEnd;
  for (const at of template.pointers) bytes.writeUInt16BE(bytes.readUInt16BE(at) + by, at);
  template.questionEnd = questionEnd;
}
