// Package pcap turns packet captures (pcap, also of the modified kind with longer packet headers, and pcapng; no
// libpcap needed) into raw batches, as if capture had watched both ends: a pseudo process that connects and one that
// accepts. TCP streams are put in order by sequence number; retransmissions are dropped, and bytes that the capture
// lacks are reported as lost. Connections that are open at its end are ended by an event that says so. Link types:
// Ethernet with VLAN tags, Linux cooked, raw IP, BSD loopback; IPv4 and IPv6, also in tunnels.
package pcap
