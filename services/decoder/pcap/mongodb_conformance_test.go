package pcap_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// clientsOf gives the exchanges of a protocol at the ends that asked.
func clientsOf(protocol millracev1.Protocol, exchanges []*millracev1.Exchange) []*millracev1.Exchange {
	return slices.DeleteFunc(slices.Clone(exchanges), func(x *millracev1.Exchange) bool {
		return x.Protocol != protocol || x.Side != millracev1.Side_SIDE_CLIENT
	})
}

// ofConnection are the commands that make no exchange.
var ofConnection = []string{"hello", "isMaster", "ismaster", "saslStart", "saslContinue", "authenticate", "getnonce", "logout"}

// TestMongoDBConformance compares commands with what tshark shows of them.
func TestMongoDBConformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		exchanges = clientsOf(millracev1.Protocol_PROTOCOL_MONGODB, exchanges)
		if folder != "mongo" && len(exchanges) == 0 {
			return
		}
		commands, want := bag{}, bag{}
		for _, x := range exchanges {
			operation, _, _ := strings.Cut(x.Operation, " ")
			commands[operation]++
		}
		ports := serverPorts(t, path, folder == "mongo", exchanges)
		for _, packet := range tshark(t, path, "mongo", ports, true, "mongo.opcode == 2013 && mongo.response_to == 0", "mongo.element.name") {
			if len(packet[0]) > 0 && !slices.Contains(ofConnection, packet[0][0]) {
				want[packet[0][0]]++
			}
		}
		t.Logf("%d commands", len(exchanges))
		if invented, missed := commands.beyond(want), want.beyond(commands); len(invented)+len(missed) > 0 {
			t.Errorf("only here %q, only tshark sees %q", invented, missed)
		}
	})
}

// TestMongoDBAccounts compares recorded conversations of real drivers with FerretDB with what the drivers said of them:
// each line of the account is a command and how it ended, as the driver's command monitor reported it.
func TestMongoDBAccounts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "mongodb", "*.pcap"))
	if err != nil || len(files) < 2 {
		t.Fatalf("recordings %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			account, err := os.ReadFile(strings.TrimSuffix(file, ".pcap") + ".account")
			if err != nil {
				t.Fatal(err)
			}
			exchanges, _, err := decode(t, b)
			if err != nil {
				t.Fatal(err)
			}
			want := bag{}
			for line := range strings.Lines(string(account)) {
				want[strings.TrimSpace(line)]++
			}
			for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
				got := bag{}
				for _, x := range exchanges {
					if x.Side != side {
						continue
					}
					operation, _, _ := strings.Cut(x.Operation, " ")
					switch x.ErrorType {
					case "":
						got["ok "+operation]++
					case "11000": // errors of writes are no errors of commands to a command monitor
						got["ok "+operation]++
						got[operation+" of a duplicate"]++
					default:
						got["failed "+operation+" "+x.ErrorType]++
					}
				}
				if invented, missed := got.beyond(want), want.beyond(got); len(invented)+len(missed) > 0 {
					t.Errorf("side %d: only here %q, only the driver saw %q", side, invented, missed)
				}
			}
		})
	}
}
