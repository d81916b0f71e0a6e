using Platform.Backend.Console;
using Platform.Backend.Deployments;
using Platform.Backend.Shops;
using Platform.Backend.Status;
using Platform.Backend.Templates;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;

var builder = WebApplication.CreateBuilder(args);
builder.AddServiceDefaults();
builder.AddPostgres("backend-db");
builder.AddTemplates();
builder.AddShops();
builder.AddDeployments();
builder.AddStatus();
builder.AddConsole();

var app = builder.Build();
app.UseServiceDefaults();
app.MapDefaultEndpoints();
app.MapTemplates();
app.MapShops();
app.MapDeployments();
app.MapMessages();
app.MapStatus();
app.MapConsole();
app.Run();
