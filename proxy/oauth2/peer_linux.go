package oauth2

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// ofSomebodyElse reports whether it is another account of this machine that has the
// other end of a connection over loopback. The address that a browser is given stands
// in the list of processes: who is faster could fetch the question, sign in with a
// mailbox of their own, and bring the answer to it. Where the kernel does not tell,
// nobody is taken for somebody else.
func ofSomebodyElse(local, remote string, account int) bool {
	here, errHere := netip.ParseAddrPort(local)
	there, errThere := netip.ParseAddrPort(remote)
	if errHere != nil || errThere != nil || account == 0 { // root signs in for others, with their browsers
		return false
	}
	table := "/proc/net/tcp"
	if there.Addr().Is6() && !there.Addr().Is4In6() {
		table += "6"
	}
	f, err := os.Open(table)
	if err != nil {
		return false
	}
	defer f.Close()
	own, other := socketName(there), socketName(here)
	for rows := bufio.NewScanner(f); rows.Scan(); {
		fields := strings.Fields(rows.Text())
		if len(fields) > 7 && fields[1] == own && fields[2] == other {
			uid, err := strconv.Atoi(fields[7])
			return err == nil && uid != account
		}
	}
	return false
}

// socketName spells an address as the kernel's table does: words in its own byte
// order, then the port.
func socketName(a netip.AddrPort) string {
	var name strings.Builder
	for bytes := net.IP(a.Addr().Unmap().AsSlice()); len(bytes) > 0; bytes = bytes[4:] {
		fmt.Fprintf(&name, "%08X", binary.NativeEndian.Uint32(bytes))
	}
	return fmt.Sprintf("%s:%04X", name.String(), a.Port())
}
