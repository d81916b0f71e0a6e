using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Stores;

var builder = WebApplication.CreateBuilder(args);
builder.AddServiceDefaults();
builder.AddPostgres("deployer-db", required: false);
builder.AddStores();
builder.AddDeployments();

var app = builder.Build();
app.UseServiceDefaults();
app.MapDefaultEndpoints();
app.MapMessages();
app.MapDeployments();
app.MapStores();
app.Run();
