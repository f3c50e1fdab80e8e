// The serial that a name server on this machine serves of the test zone.
import { encodeName } from '../../dns/domain-name.ts';
import { ask, makeQuestion, type NameServerAddress } from '../../dns/exchange.ts';
import { TYPE } from '../../dns/record.ts';
import { soaSerial } from '../../dns/transfer-plan.ts';
import { VENDOR_ZONE } from './vendor-zone.ts';

/** Undefined when it does not answer, or does not have the zone. */
export async function serialOf(server: NameServerAddress): Promise<number | undefined> {
  const question = makeQuestion(encodeName(VENDOR_ZONE) ?? Buffer.of(0), TYPE.SOA);
  try {
    const { message, layout } = await ask(question, server, { signal: AbortSignal.timeout(2_000) });
    const soa = layout.records.find(({ section }) => section === 'answer');
    return soa === undefined ? undefined : soaSerial(message, soa.dataStart, soa.end);
  } catch {
    return undefined;
  }
}
