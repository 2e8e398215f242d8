module example.com/work/app

go 1.19
