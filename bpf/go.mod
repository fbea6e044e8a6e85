module millrace.dev/bpf

go 1.26.0
