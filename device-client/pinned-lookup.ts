// A resolver that knows one answer: for a relay that is to be reached at a given address.

type Lookup = NonNullable<import('node:net').TcpSocketConnectOpts['lookup']>;

export function pinned(address: string): Lookup {
  const family = address.includes(':') ? 6 : 4;
  return (_hostname, options, callback) => {
    if (options.all === true) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };
}
