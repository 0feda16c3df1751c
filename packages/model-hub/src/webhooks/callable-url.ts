import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { HubError } from "../errors.js";

/** Addresses that are not of the public internet (IANA special-purpose registries); an IPv4 address inside IPv6 is judged as IPv4. */
const PRIVATE = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const) {
  PRIVATE.addSubnet(network, bits, "ipv4");
}
for (const [network, bits] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["100::", 64],
  ["2001:db8::", 32],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  PRIVATE.addSubnet(network, bits, "ipv6");
}

/** Whether an IP address lies inside one's own machine or network. */
export const isPrivateAddress = (address: string): boolean =>
  PRIVATE.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");

/** Finds the addresses of a host name. */
export type Resolve = (host: string) => Promise<readonly string[]>;
const resolveHost: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

/**
 * Checks that `url` leads to the public internet: a webhook must not be a way to call services that only this machine can reach.
 * @returns the addresses it leads to
 * @throws {@link HubError} INVALID_REQUEST
 */
export async function assertCallableUrl(url: string, resolve: Resolve = resolveHost): Promise<readonly string[]> {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(host) === 0 ? await resolve(host).catch(() => []) : [host];
  if (addresses.length === 0) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `The webhook's host ${host} is not known.`,
      details: { host },
    });
  }
  const own = addresses.find(isPrivateAddress);
  if (own === undefined) return addresses;
  throw new HubError({
    code: "INVALID_REQUEST",
    message: `The webhook's host ${host} is ${own}, an address inside a private network. Set allowPrivateWebhooks to call it.`,
    details: { host, address: own },
  });
}
