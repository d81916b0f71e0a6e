using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.TemplateRegistry.BuiltIn;
using Platform.TemplateRegistry.Bundles;
using Platform.TemplateRegistry.Templates;

var builder = WebApplication.CreateBuilder(args);
builder.AddServiceDefaults();
builder.AddPostgres("registry-db");
builder.AddTemplates();
builder.AddBuiltInTemplates();

var app = builder.Build();
app.UseServiceDefaults();
app.MapDefaultEndpoints();
app.MapTemplates();
app.MapBundles();
app.Run();
