// Package host says what machine this is: its id, its operating system and its cloud. It asks the machine alone:
// os-release and machine-id, what the firmware shows of the hypervisor (DMI), and what cloud-init wrote when the
// machine booted.
//
// What the firmware says is what the hypervisor put there, so it decides which cloud this is. cloud-init is believed
// for the rest if it names the same cloud: a disk that was moved elsewhere keeps the files of where it was. Nothing is
// guessed: what nobody said stays empty.
package host
