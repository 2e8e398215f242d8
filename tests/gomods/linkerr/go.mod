module example.com/linkerr

go 1.19
