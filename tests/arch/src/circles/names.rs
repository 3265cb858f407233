//! What a module's code names.

use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ExprMethodCall, ExprPath, ImplItem, Item, ItemImpl, ItemTrait, ItemUse, Macro, PatIdent, Path,
    QSelf, TraitItem, Type, TypePath,
};

use super::attributes;
use super::module::{Methods, Module, Named};
use super::tokens::{self, Found};

/// Notes what an item names, its imports and its methods.
pub(super) fn collect(module: &mut Module, item: &Item) {
    Collector { module, own: Vec::new() }.visit_item(item);
}

struct Collector<'a> {
    module: &'a mut Module,
    /// What `Self` is, from the outermost `impl` or trait on; `None` where it is no path.
    own: Vec<Option<Vec<String>>>,
}

impl Collector<'_> {
    fn path(&mut self, path: &Path) {
        if path.leading_colon.is_none() {
            self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
    }

    fn name(&mut self, mut path: Vec<String>) {
        if path.first().is_some_and(|first| first == "Self") {
            match self.own.last() {
                Some(Some(own)) => drop(path.splice(..1, own.iter().cloned())),
                _ => return,
            }
        }
        self.module.named.push(Named::Path(path));
    }

    fn method(&mut self, name: String) {
        if let Some(Some(own)) = self.own.last() {
            self.module.named.push(Named::Method(own.clone(), name));
        }
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::Path(path) => self.name(path),
            Found::Method(name) => self.method(name),
            Found::Macro(name) => self.module.named.push(Named::Macro(name)),
        }
    }

    /// `<Type>::name` is no path from here on, but its parts are.
    fn qualified(&mut self, qself: &Option<QSelf>, path: &Path) {
        match qself {
            Some(qself) => {
                self.visit_type(&qself.ty);
                if qself.position > 0 {
                    self.path(path);
                }
            }
            None => self.path(path),
        }
        path.segments.iter().for_each(|segment| self.visit_path_arguments(&segment.arguments));
    }
}

/// The path of a type that is one.
fn of_type(ty: &Type) -> Option<Vec<String>> {
    match ty {
        Type::Path(TypePath { qself: None, path, .. }) if path.leading_colon.is_none() => {
            Some(path.segments.iter().map(|segment| segment.ident.to_string()).collect())
        }
        _ => None,
    }
}

fn name_of(item: &ImplItem) -> Option<String> {
    match item {
        ImplItem::Const(item) => Some(item.ident.to_string()),
        ImplItem::Fn(item) => Some(item.sig.ident.to_string()),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes::only_for_tests(attributes::of_item(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !attributes::only_for_tests(attributes::of_impl_item(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !attributes::only_for_tests(attributes::of_trait_item(item)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.module.import(item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let own = of_type(&item.self_ty);
        if let (None, Some(own)) = (&item.trait_, &own) {
            let shipped = item.items.iter().filter(|i| !attributes::only_for_tests(attributes::of_impl_item(i)));
            let names = shipped.filter_map(name_of).collect();
            self.module.methods.push(Methods { of: own.clone(), names });
        }
        self.own.push(own);
        visit::visit_item_impl(self, item);
        self.own.pop();
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.own.push(None);
        visit::visit_item_trait(self, item);
        self.own.pop();
    }

    fn visit_path(&mut self, path: &'ast Path) {
        self.path(path);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, expression: &'ast ExprPath) {
        self.qualified(&expression.qself, &expression.path);
    }

    fn visit_type_path(&mut self, ty: &'ast TypePath) {
        self.qualified(&ty.qself, &ty.path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self")) {
            self.method(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    /// A constant in a pattern looks like a variable.
    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        let name = pattern.ident.to_string();
        if name.starts_with(char::is_uppercase) {
            self.name(vec![name]);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        match called.path.get_ident() {
            Some(name) => self.found(Found::Macro(name.to_string())),
            None => self.path(&called.path),
        }
        tokens::named(called.tokens.clone()).into_iter().for_each(|found| self.found(found));
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        attributes::named(attribute).into_iter().for_each(|found| self.found(found));
    }
}
