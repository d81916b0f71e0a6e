using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.Backend.Console.Pages;
using Platform.Backend.Deployments;
using Platform.Backend.Shops;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>The pages of shops, and the forms that create, edit and delete them.</summary>
internal static class ShopPages
{
    /// <summary>Fills complete rows of two, three and four cards.</summary>
    private const int ShopsOnPage = 24;

    private const int DeploymentsOnPage = 10;
    private const int ProductsOnPage = 100;

    public static async Task<IResult> List([AsParameters] PageQuery query, string? said, ListShops list, CancellationToken cancellationToken)
    {
        if (!query.TryRead<Guid?>(out var after, out var limit, out var problem))
            return problem;

        return new PageResult<ShopsPage>(new()
        {
            [nameof(ShopsPage.Shops)] = await list.ExecuteAsync(after, query.Limit is null ? ShopsOnPage : limit, cancellationToken),
            [nameof(ShopsPage.IsFirst)] = after is null,
            [nameof(ShopsPage.Deleted)] = said == "deleted",
        });
    }

    public static async Task<IResult> Show(
        Guid id, [AsParameters] PageQuery query, string? said,
        FindShop find, ListDeployments listDeployments, TemplateCatalog catalog, TimeProvider time, CancellationToken cancellationToken)
    {
        if (!query.TryRead<Guid?>(out var after, out var limit, out var problem))
            return problem;
        if (await find.ExecuteAsync(id, cancellationToken, ProductsOnPage) is not { } shop
            || await listDeployments.ExecuteAsync(id, after, query.Limit is null ? DeploymentsOnPage : limit, cancellationToken) is not { } deployments)
            return ShopProblems.NotFound(id);

        return new PageResult<ShopPage>(new()
        {
            [nameof(ShopPage.Shop)] = shop,
            [nameof(ShopPage.Deployments)] = deployments,
            [nameof(ShopPage.Template)] = await FindLabelsAsync(catalog, shop, cancellationToken),
            [nameof(ShopPage.IsFirst)] = after is null,
            [nameof(ShopPage.Said)] = said,
            [nameof(ShopPage.RefreshSeconds)] = after is null ? RefreshInterval.Seconds(deployments.Items, shop, time.GetUtcNow()) : null,
        });
    }

    public static async Task<IResult> New(string name, string? version, TemplateCatalog catalog, CancellationToken cancellationToken)
    {
        if ((version ?? (await catalog.FindAsync(name, cancellationToken))?.Value.LatestVersion) is not { } wanted
            || await catalog.FindVersionAsync(name, wanted, cancellationToken) is not { } template)
            return Problem.NotFound($"The template '{name}'{(version is null ? "" : $" {version}")} is not available.");

        return FormPage(ShopForm.ForNew(template.Value), stale: template.Stale, age: template.Age);
    }

    public static async Task<IResult> Create(string name, HttpRequest request, CreateShop create, TemplateCatalog catalog, CancellationToken cancellationToken)
    {
        var sent = await request.ReadFormAsync(cancellationToken);
        if (await catalog.FindContentAsync(name, sent["version"].ToString(), cancellationToken) is not { } template)
            return Problem.NotFound($"The template '{name}' has no such version.");

        var form = ShopForm.Read(sent, template);
        if (form.Rearrange(sent["action"].ToString()))
            return FormPage(form);

        form.SuggestSlug();
        var shop = new NewShop
        {
            Slug = form.Slug,
            Name = form.Name,
            Template = new() { Name = template.Name, Version = template.Version },
            Settings = form.ReadSettings(),
            Products = form.ReadProducts(),
        };
        if (form.Errors.Count > 0)
        {
            form.Check(shop);
            return FormPage(form);
        }

        switch ((await create.ExecuteAsync(shop, cancellationToken)).Result)
        {
            case ValidationProblem invalid:
                form.AddErrors(invalid.ProblemDetails.Errors);
                return FormPage(form);
            case ProblemHttpResult { StatusCode: StatusCodes.Status409Conflict }:
                form.AddError("slug", "is already taken by another shop");
                return FormPage(form, status: StatusCodes.Status409Conflict);
            case var result:
                return result;
        }
    }

    public static async Task<IResult> Edit(Guid id, FindShop find, TemplateCatalog catalog, CancellationToken cancellationToken)
    {
        if (await FindForFormAsync(find, id, cancellationToken) is not { } shop)
            return ShopProblems.NotFound(id);
        if (shop.Status == ShopStatus.Deleting)
            return ShopProblems.BeingDeleted();
        if (await catalog.FindContentAsync(shop.Template.Name, shop.Template.Version, cancellationToken) is not { } template)
            return Problem.NotFound($"The template {shop.Template.Name} {shop.Template.Version} is no longer in the registry.");

        return await EditPageAsync(ShopForm.Of(shop, template, ShopTag.Of(shop).ToString()), shop, catalog, cancellationToken);
    }

    public static async Task<IResult> Save(
        Guid id, HttpRequest request, FindShop find, ReplaceShop replace, TemplateCatalog catalog, CancellationToken cancellationToken)
    {
        if (await FindForFormAsync(find, id, cancellationToken) is not { } shop)
            return ShopProblems.NotFound(id);

        var sent = await request.ReadFormAsync(cancellationToken);
        var action = sent["action"].ToString();
        var version = sent[action == "change-version" ? "otherVersion" : "version"].ToString();
        if (await catalog.FindContentAsync(shop.Template.Name, version, cancellationToken) is not { } template)
            return Problem.NotFound($"The template '{shop.Template.Name}' has no such version.");

        var form = ShopForm.Read(sent, template);
        if (action == "change-version" || form.Rearrange(action))
            return await EditPageAsync(form, shop, catalog, cancellationToken);

        var replacement = new ShopReplacement
        {
            Name = form.Name,
            Template = new() { Name = template.Name, Version = template.Version },
            Settings = form.ReadSettings(),
            Currency = form.KeepsProducts || form.Products.Count == 0 ? shop.Currency : null,
            Locale = shop.Locale,
            Products = form.ReadProducts(),
            KeepsProducts = form.KeepsProducts,
        };
        if (form.Errors.Count > 0)
        {
            form.Check(replacement);
            return await EditPageAsync(form, shop, catalog, cancellationToken);
        }

        // A form without an ETag is treated like one with an old ETag.
        IList<EntityTagHeaderValue> ifMatch = EntityTagHeaderValue.TryParse(form.ETag, out var tag) ? [tag] : [];
        switch ((await replace.ExecuteAsync(id, ifMatch, replacement, cancellationToken)).Result)
        {
            case ValidationProblem invalid:
                form.AddErrors(invalid.ProblemDetails.Errors);
                return await EditPageAsync(form, shop, catalog, cancellationToken);
            case ProblemHttpResult { StatusCode: StatusCodes.Status412PreconditionFailed }:
                return await ConflictPageAsync(id, form, find, catalog, cancellationToken);
            case var result:
                return result;
        }
    }

    public static async Task<IResult> ConfirmDelete(Guid id, FindShop find, CancellationToken cancellationToken) =>
        await find.ExecuteAsync(id, cancellationToken, maxProducts: 0) is { } shop
            ? new PageResult<DeleteShopPage>(new() { [nameof(DeleteShopPage.Shop)] = shop })
            : ShopProblems.NotFound(id);

    public static async Task<IResult> Delete(Guid id, DeleteShop delete, CancellationToken cancellationToken) =>
        await delete.ExecuteAsync(id, [], cancellationToken);

    /// <summary>The shop with as many products as a form can show, or with none if it has more.</summary>
    private static async Task<Shop?> FindForFormAsync(FindShop find, Guid id, CancellationToken cancellationToken) =>
        await find.ExecuteAsync(id, cancellationToken, ShopRules.MaxProducts) is { } shop
            ? shop.ProductCount > ShopRules.MaxProducts ? shop with { Products = [] } : shop
            : null;

    private static async Task<IResult> ConflictPageAsync(Guid id, ShopForm form, FindShop find, TemplateCatalog catalog, CancellationToken cancellationToken)
    {
        if (await FindForFormAsync(find, id, cancellationToken) is not { } shop)
            return ShopProblems.NotFound(id);
        if (await catalog.FindContentAsync(shop.Template.Name, shop.Template.Version, cancellationToken) is not { } template)
            return ShopProblems.ChangedMeanwhile();

        // Saving again after seeing the differences overwrites them.
        form.ETag = ShopTag.Of(shop).ToString();
        return await EditPageAsync(form, shop, catalog, cancellationToken, form.DifferencesFrom(ShopForm.Of(shop, template, form.ETag)));
    }

    private static async Task<IResult> EditPageAsync(
        ShopForm form, Shop shop, TemplateCatalog catalog, CancellationToken cancellationToken, IReadOnlyList<(string, string, string)>? conflict = null)
    {
        try
        {
            var template = await catalog.FindAsync(shop.Template.Name, cancellationToken);
            return FormPage(form, shop, template?.Value.Versions ?? [], template?.Stale ?? false, template?.Age, conflict);
        }
        catch (DependencyUnavailableException)
        {
            // The shop can still be edited, but not moved to another version.
            return FormPage(form, shop, stale: true, conflict: conflict);
        }
    }

    private static PageResult<ShopFormPage> FormPage(
        ShopForm form, Shop? shop = null, IReadOnlyList<TemplateRelease>? versions = null, bool stale = false, TimeSpan? age = null,
        IReadOnlyList<(string, string, string)>? conflict = null, int status = StatusCodes.Status200OK)
    {
        if (conflict is not null)
            status = StatusCodes.Status412PreconditionFailed;
        else if (form.Errors.Count > 0 && status == StatusCodes.Status200OK)
            status = StatusCodes.Status400BadRequest;

        return new PageResult<ShopFormPage>(
            new()
            {
                [nameof(ShopFormPage.Form)] = form,
                [nameof(ShopFormPage.Shop)] = shop,
                [nameof(ShopFormPage.Versions)] = versions ?? [],
                [nameof(ShopFormPage.Stale)] = stale,
                [nameof(ShopFormPage.Age)] = age,
                [nameof(ShopFormPage.Conflict)] = conflict,
            },
            status);
    }

    /// <summary>The template, for the labels of the settings. Best effort: the page is useful without them.</summary>
    private static async Task<TemplateVersion?> FindLabelsAsync(TemplateCatalog catalog, Shop shop, CancellationToken cancellationToken)
    {
        try
        {
            return await catalog.FindContentAsync(shop.Template.Name, shop.Template.Version, cancellationToken);
        }
        catch (DependencyUnavailableException)
        {
            return null;
        }
    }
}
