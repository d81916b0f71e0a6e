using Aspire.Hosting;

DistributedApplication.CreateBuilder(args).Build().Run();
