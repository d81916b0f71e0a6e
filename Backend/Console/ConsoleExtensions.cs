using Microsoft.AspNetCore.Http.Features;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Idempotency;

namespace Platform.Backend.Console;

/// <summary>The console at <c>/</c>: pages rendered on the server, with forms that work without JavaScript.</summary>
internal static class ConsoleExtensions
{
    /// <summary>Enough for 500 products with six fields each and 50 settings.</summary>
    private const int MaxFields = 4096;

    public static void AddConsole(this IHostApplicationBuilder builder)
    {
        builder.Services.Configure<FormOptions>(options => options.ValueCountLimit = MaxFields);
        // First, because the first writer that accepts a request wins and the framework's own accepts every request.
        builder.Services.Insert(0, ServiceDescriptor.Singleton<IProblemDetailsWriter, ProblemPageWriter>());
    }

    public static void MapConsole(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/assets/{file}", ConsoleAssets.Get).ExcludeFromDescription().AllowAnonymous();

        var all = routes.MapGroup("/").ExcludeFromDescription().WithMetadata(new ConsolePages());
        var entrance = all.MapGroup("/").AllowAnonymous();
        entrance.MapGet("/sign-in", SignInPages.Show);
        entrance.MapGet("/sign-in/provider", SignInPages.GoToProvider);
        entrance.MapPost("/sign-in", SignInPages.SignIn).WithMetadata(new ConsoleForms());

        var pages = all.MapGroup("/").RequireScope(Scopes.Read);
        pages.MapPost("/sign-out", (Delegate)SignInPages.SignOut).WithMetadata(new ConsoleForms());
        pages.MapGet("/", ShopPages.List);
        pages.MapGet("/shops", () => TypedResults.Redirect("/", permanent: true));
        pages.MapGet("/shops/new", TemplatePages.Choose);
        pages.MapGet("/shops/new/{name}", ShopPages.New);
        pages.MapGet("/shops/{id:guid}", ShopPages.Show);
        pages.MapGet("/shops/{id:guid}/edit", ShopPages.Edit);
        pages.MapGet("/shops/{id:guid}/delete", ShopPages.ConfirmDelete);
        pages.MapGet("/shops/{id:guid}/deployments/{deploymentId:guid}", DeploymentPages.Show);
        pages.MapGet("/templates", TemplatePages.List);
        pages.MapGet("/templates/{name}", TemplatePages.Show);
        pages.MapGet("/resilience", ResiliencePages.Show);

        var administration = all.MapGroup("/").RequireScope(Scopes.Admin);
        administration.MapGet("/keys", KeyPages.List);
        administration.MapGet("/keys/new", KeyPages.New);
        // Not idempotent, because the stored response would contain the key. A second press creates another key, and nobody has seen the first.
        administration.MapPost("/keys/new", KeyPages.Make).WithMetadata(new ConsoleForms());
        administration.MapGet("/keys/{id:guid}/revoke", KeyPages.ConfirmRevoke);
        administration.MapGet("/owners", OwnerPages.List);
        var administrationForms = administration.MapGroup("/").WithMetadata(new ConsoleForms()).WithIdempotency();
        administrationForms.MapPost("/keys/{id:guid}/revoke", KeyPages.Revoke).LeadsTo(_ => "/keys?said=revoked");
        administrationForms.MapPost("/owners", OwnerPages.Make).LeadsTo(_ => "/owners?said=made");

        var forms = all.MapGroup("/").RequireScope(Scopes.Deploy).WithMetadata(new ConsoleForms()).WithIdempotency();
        forms.MapPost("/shops/new/{name}", ShopPages.Create).LeadsTo(context => $"{context.Response.Headers.Location.ToString()["/api".Length..]}?said=created");
        forms.MapPost("/shops/{id:guid}/edit", ShopPages.Save).LeadsTo(context => $"{ShopOf(context)}?said=saved");
        forms.MapPost("/shops/{id:guid}/delete", ShopPages.Delete).LeadsTo(_ => "/?said=deleted");
        forms.MapPost("/resilience/{service}/redrive/{id:guid?}", ResiliencePages.Redrive).LeadsTo(_ => "/resilience?said=redriven");
        forms.MapPost("/resilience/{service}/discard/{id:guid}", ResiliencePages.Discard).LeadsTo(_ => "/resilience?said=discarded");

        var work = forms.MapGroup("/").WithPriority(RequestPriority.Deployment);
        work.MapPost("/shops/{id:guid}/deploy", DeploymentPages.Deploy).LeadsTo(ShopOf);
        work.MapPost("/shops/{id:guid}/rollback", DeploymentPages.RollBack).LeadsTo(ShopOf);
        work.MapPost("/shops/{id:guid}/deployments/{deploymentId:guid}/cancel", DeploymentPages.Cancel).LeadsTo(ShopOf);
        work.MapPost("/shops/{id:guid}/deployments/{deploymentId:guid}/retry", DeploymentPages.Retry).LeadsTo(ShopOf);
    }

    private static string ShopOf(HttpContext context) => $"/shops/{context.Request.RouteValues["id"]}";

    /// <summary>Sets the page to redirect to. It is evaluated once the operation's response is written.</summary>
    private static void LeadsTo(this RouteHandlerBuilder form, LeadsToPage page) => form.WithMetadata(page);
}
